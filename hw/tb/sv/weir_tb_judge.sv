// Judging behind two packed ports, for the test harness (cpp/harness.hpp). Items: facts, hits, guards, table writes.
`default_nettype none

module weir_tb_judge
  import weir_match_pkg::*;
  import weir_judge_pkg::*;
(
    input  wire logic              clk_i,
    input  wire logic              rst_i,
    input  wire logic              in_valid_i,
    output logic                   in_ready_o,
    input  wire logic [136*8-1:0]  in_data_i,
    output logic                   out_valid_o,
    input  wire logic              out_ready_i,
    output logic      [255:0]      out_data_o
);

  typedef struct packed {
    logic [1023:0] data;
    logic [31:0]   address;
    logic [7:0]    part;
    logic [7:0]    table_of;
    logic [7:0]    bank;
    logic [7:0]    op;        // 0 facts, 1 hit, 2 table write, 3 limits, 4 guards
  } in_t;

  in_t item;
  logic facts_ready, hit_ready, fired_ready, room, valid, pop;
  judged_t judged, result;
  logic [1:0][31:0] list_limit_q;
  logic [4:0] level_q;

  assign item = in_data_i;
  assign room = level_q < 5'd12;

  always_comb begin
    unique case (item.op)
      8'd0: in_ready_o = facts_ready && room;
      8'd1: in_ready_o = hit_ready;
      8'd4: in_ready_o = fired_ready;
      default: in_ready_o = 1'b1;
    endcase
  end

  weir_judge dut (
      .clk_i          (clk_i),
      .rst_i          (rst_i),
      .list_limit_i   (list_limit_q),
      .facts_valid_i  (in_valid_i && item.op == 8'd0 && room),
      .facts_ready_o  (facts_ready),
      .facts_i        (item.data[$bits(frame_facts_t)-1:0]),
      .hit_valid_i    (in_valid_i && item.op == 8'd1),
      .hit_ready_o    (hit_ready),
      .hit_i          (item.data[$bits(hit_t)-1:0]),
      .fired_valid_i  (in_valid_i && item.op == 8'd4),
      .fired_ready_o  (fired_ready),
      .fired_i        (item.data[63:0]),
      .valid_o        (valid),
      .judged_o       (judged),
      .write_i        (in_valid_i && item.op == 8'd2),
      .write_bank_i   (item.bank[0]),
      .write_table_i  (item.table_of[2:0]),
      .write_part_i   (item.part[2:0]),
      .write_address_i(item.address[23:0]),
      .write_data_i   (item.data)
  );

  weir_fifo #(
      .DEPTH_BITS(4),
      .DATA_BITS ($bits(judged_t))
  ) results (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .push_i (valid),
      .data_i (judged),
      .valid_o(out_valid_o),
      .data_o (result),
      .pop_i  (pop)
  );

  assign pop = out_valid_o && out_ready_i;
  assign out_data_o = 256'(result);

  always_ff @(posedge clk_i) begin
    if (in_valid_i && item.op == 8'd3) begin
      list_limit_q[item.bank[0]] <= item.data[31:0];
    end
    if (rst_i) level_q <= '0;
    else level_q <= level_q + 5'(valid) - 5'(pop);
  end

endmodule

`default_nettype wire
