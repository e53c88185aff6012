// The writer behind two packed ports, for the test harness (cpp/harness.hpp). Items, beats of frames, set-up of queues.
`default_nettype none

module weir_tb_queue_writer
  import weir_dma_pkg::*;
(
    input  wire logic              clk_i,
    input  wire logic              rst_i,
    input  wire logic              in_valid_i,
    output logic                   in_ready_o,
    input  wire logic [136*8-1:0]  in_data_i,
    output logic                   out_valid_o,
    input  wire logic              out_ready_i,
    output logic      [76*8-1:0]   out_data_o
);

  typedef struct packed {
    logic [1023:0] body;
    logic [31:0]   length_of;
    logic [7:0]    reserved;
    logic [7:0]    queue;
    logic [7:0]    kind;
    logic [7:0]    op;         // 0 item, 1 beat, 2 set-up of a queue
  } in_t;

  in_t item;
  logic item_ready, beat_ready;
  queue_config_t [1:0] config_q;
  store_t store;

  assign item = in_data_i;
  always_comb begin
    unique case (item.op)
      8'd0: in_ready_o = item_ready;
      8'd1: in_ready_o = beat_ready;
      default: in_ready_o = 1'b1;
    endcase
  end

  weir_queue_writer #(
      .QUEUES_LOG2(1)
  ) dut (
      .clk_i        (clk_i),
      .rst_i        (rst_i),
      .config_i     (config_q),
      .item_valid_i (in_valid_i && item.op == 8'd0),
      .item_ready_o (item_ready),
      .item_kind_i  (write_kind_e'(item.kind[1:0])),
      .item_queue_i (item.queue[0]),
      .item_body_i  (item.body),
      .item_length_i(item.length_of[19:0]),
      .beat_valid_i (in_valid_i && item.op == 8'd1),
      .beat_ready_o (beat_ready),
      .beat_data_i  (item.body[511:0]),
      .store_valid_o(out_valid_o),
      .store_ready_i(out_ready_i),
      .store_o      (store)
  );

  assign out_data_o = (76 * 8)'(store);

  always_ff @(posedge clk_i) begin
    if (in_valid_i && item.op == 8'd2) config_q[item.queue[0]] <= item.body[$bits(queue_config_t)-1:0];
  end

endmodule

`default_nettype wire
