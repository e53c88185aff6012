// Second access to the flow entry, in frame order: sticky bit, last trouble, history chain.
//
// Function: read-modify-write per frame or command (weir_verdict_pkg::decide), behind the judge. Latency: 3 cycles.
// Throughput: one beat per cycle, also of one flow. Back-pressure: none (the user holds credits). Forwarding as in
// weir_flow_access.
`default_nettype none

module weir_verdict_access
  import weir_verdict_pkg::*;
#(
    parameter int unsigned FLOW_BITS = 4  // log2 of the number of entries
) (
    input  wire logic                 clk_i,
    input  wire logic                 rst_i,
    input  wire logic                 valid_i,
    input  wire logic [FLOW_BITS-1:0] slot_i,
    input  wire verdict_in_t          beat_i,
    output logic                      valid_o,
    output verdict_out_t              out_o,
    output verdict_state_t            state_o  // after the beat, for records
);

  logic read_valid_q, result_valid_q, written_valid_q;
  logic [FLOW_BITS-1:0] read_slot_q, result_slot_q, written_slot_q;
  verdict_in_t read_q;
  verdict_state_t ram_data, old, result_q, written_q;
  verdict_out_t out_q;
  verdict_t next;

  weir_ram_1r1w #(
      .ADDRESS_BITS(FLOW_BITS),
      .DATA_BITS   ($bits(verdict_state_t))
  ) entries (
      .clk_i          (clk_i),
      .write_i        (result_valid_q),
      .write_address_i(result_slot_q),
      .write_data_i   (result_q),
      .read_address_i (slot_i),
      .read_data_o    (ram_data)
  );

  always_comb begin
    old = ram_data;
    if (written_valid_q && written_slot_q == read_slot_q) old = written_q;
    if (result_valid_q && result_slot_q == read_slot_q) old = result_q;
    next = decide(old, read_q);
  end

  always_ff @(posedge clk_i) begin
    read_q <= beat_i;
    read_slot_q <= slot_i;
    result_q <= next.state;
    out_q <= next.out;
    result_slot_q <= read_slot_q;
    written_q <= result_q;
    written_slot_q <= result_slot_q;
    out_o <= out_q;
    state_o <= result_q;
    if (rst_i) begin
      read_valid_q <= 1'b0;
      result_valid_q <= 1'b0;
      written_valid_q <= 1'b0;
      valid_o <= 1'b0;
    end else begin
      read_valid_q <= valid_i;
      result_valid_q <= read_valid_q;
      written_valid_q <= result_valid_q;
      valid_o <= result_valid_q;
    end
  end

endmodule

`default_nettype wire
