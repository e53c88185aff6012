// First access to the flow entry: the parse state.
//
// Function: read-modify-write per frame or command, in order (weir_flow_pkg::follow). Latency: 3 cycles. Throughput: one
// beat per cycle, also when all beats are of one flow. Back-pressure: none (the user holds credits).
//
//     beat ──► RAM read ──► forward mux ──► follow ──► result register ──► RAM write
//                              ▲  ▲                        │  │
//                              │  └── distance 1 ──────────┘  │
//                              └───── distance 2 ─────────────┘
//
// Which slot a key has, and whether the frame makes the entry, is decided before (the table); this access owns what the
// entry remembers. Detection is the longest path of `follow`; it has a cycle of its own only once it is cut off as its
// second half, which no other field depends on.
`default_nettype none

module weir_flow_access
  import weir_flow_pkg::*;
#(
    parameter int unsigned FLOW_BITS = 4  // log2 of the number of entries
) (
    input  wire logic                 clk_i,
    input  wire logic                 rst_i,
    input  wire follow_config_t       config_i,   // constant while frames are under way
    input  wire logic                 valid_i,
    input  wire logic                 divert_i,   // a DIVERT command, else a frame
    input  wire logic                 peek_i,     // only read
    input  wire logic [FLOW_BITS-1:0] slot_i,
    input  wire arrival_t             arrival_i,
    output logic                      valid_o,
    output staged_t                   staged_o,
    output flow_state_t               state_o     // after the beat, for records
);

  logic read_valid_q, read_divert_q, read_peek_q, result_valid_q, written_valid_q;
  logic [FLOW_BITS-1:0] read_slot_q, result_slot_q, written_slot_q;
  arrival_t read_q;
  flow_state_t ram_data, old, result_q, written_q;
  staged_t staged_q;
  follow_t next;

  weir_ram_1r1w #(
      .ADDRESS_BITS(FLOW_BITS),
      .DATA_BITS   ($bits(flow_state_t))
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
    next = follow(old, read_q, config_i);
    if (read_divert_q) begin
      next.state = divert_flow(old, read_q.created, read_q.number, read_q.now);
    end
    if (read_peek_q) next.state = old;
  end

  always_ff @(posedge clk_i) begin
    read_q <= arrival_i;
    read_divert_q <= divert_i;
    read_peek_q <= peek_i;
    read_slot_q <= slot_i;
    result_q <= next.state;
    staged_q <= next.staged;
    result_slot_q <= read_slot_q;
    written_q <= result_q;
    written_slot_q <= result_slot_q;
    staged_o <= staged_q;
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
