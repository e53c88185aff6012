// weir_queue_writer: stores wait until they are taken, and each item ends once, behind all of its stores.
`default_nettype none

module formal_queue_writer
  import weir_contract_pkg::*;
  import weir_dma_pkg::*;
#(
    parameter  int unsigned QUEUES_LOG2 = 1,
    localparam int unsigned QUEUES = 1 << QUEUES_LOG2
) (
    input wire logic                       clk_i,
    input wire logic                       rst_i,
    input wire logic                       item_valid_i,
    input wire logic [1:0]                 kind_i,
    input wire logic [QUEUES_LOG2-1:0]     item_queue_i,
    input wire logic [1023:0]              item_body_i,
    input wire logic [19:0]                item_length_i,
    input wire logic                       beat_valid_i,
    input wire logic [511:0]               beat_data_i,
    input wire logic                       store_ready_i
);

  // Rings that lie apart: what is proven does not depend on where, and sums of constants are few.
  queue_config_t [QUEUES-1:0] config_i;
  always_comb begin
    for (int unsigned q = 0; q < QUEUES; q++) begin
      config_i[q] = '0;
      config_i[q].status_base = 64'(q) << 20 | 64'h1000;
      config_i[q].history_base = 64'(q) << 20 | 64'h20000;
      config_i[q].history_size = 64'h10000;
      config_i[q].descriptor_base = 64'(q) << 20 | 64'h40000;
      config_i[q].descriptor_entries = 32'd16;
      config_i[q].flow_record_base = 64'(q) << 20 | 64'h50000;
      config_i[q].flow_record_entries = 32'd16;
    end
  end

  logic item_ready, beat_ready, store_valid;
  store_t store;
  write_kind_e item_kind_i;
  assign item_kind_i = write_kind_e'(kind_i);

  weir_queue_writer #(
      .QUEUES_LOG2(QUEUES_LOG2)
  ) dut (
      .*,
      .item_ready_o (item_ready),
      .beat_ready_o (beat_ready),
      .store_valid_o(store_valid),
      .store_o      (store)
  );

  logic started_q = 1'b0;
  logic waits_q, item_q, beat_waits_q, first_q;
  logic [511:0] beat_q;
  logic ending_q;
  logic [6:0] bytes_q;
  write_kind_e kind_q;
  logic [QUEUES_LOG2-1:0] queue_q;

  always_ff @(posedge clk_i) begin
    started_q <= 1'b1;
    ending_q <= store.ending;
    bytes_q <= store.bytes;
    waits_q <= !rst_i && store_valid && !store_ready_i;
    beat_waits_q <= !rst_i && beat_valid_i && !beat_ready;
    beat_q <= beat_data_i;
    if (item_valid_i && item_ready) begin
      item_q <= 1'b1;
      first_q <= 1'b1;
      kind_q <= item_kind_i;
      queue_q <= item_queue_i;
    end else if (store_valid && store_ready_i) begin
      first_q <= 1'b0;
      if (store.ending) item_q <= 1'b0;
    end
    if (rst_i) item_q <= 1'b0;

    assume (rst_i || started_q);
    if (started_q && beat_waits_q) assume (beat_valid_i && beat_data_i == beat_q);

    if (started_q && !rst_i) begin
      if (waits_q) begin
        assert (store_valid && store.ending == ending_q && store.bytes == bytes_q);
      end
      assert (item_ready == !item_q);
      if (store_valid) assert (item_q);
      if (beat_ready) assert (item_q && kind_q == WRITE_RECORD);
      // What a record takes is reserved before any of it is written; the rest of an item says that it is there.
      if (store_valid && first_q && kind_q == WRITE_RECORD) assert (store.address == config_i[queue_q].status_base + STATUS_RESERVED);
      if (store_valid && store.ending && kind_q == WRITE_RECORD) assert (store.address == config_i[queue_q].status_base + STATUS_WRITTEN);
      if (store_valid && store.ending && first_q) assert (kind_q == WRITE_TX_CONSUMER);
    end
  end

endmodule

`default_nettype wire
