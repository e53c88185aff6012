// First access to the flow entry: sequence state and generation.
//
// Function: read-modify-write per beat, in order. Latency: 2 cycles. Throughput: one beat per cycle, also when all beats
// are of one flow. Back-pressure: none (the user holds credits).
//
//     beat ──► RAM read ──► forward mux ──► sequence_update ──► result register ──► RAM write
//                              ▲  ▲                                   │  │
//                              │  └── distance 1: last cycle's result ┘  │
//                              └───── distance 2: the one being written ─┘
//
// Distance 2 is needed because a read of the word being written is undefined (weir_ram_1r1w).
`default_nettype none

module weir_flow_parse
  import weir_sequence_pkg::*;
#(
    parameter int unsigned FLOW_BITS = 4  // log2 of the number of entries
) (
    input  wire logic                 clk_i,
    input  wire logic                 rst_i,
    output logic                      ready_o,            // entries are cleared
    input  wire logic                 valid_i,
    input  wire logic [          1:0] op_i,               // 0 frame, 1 release, 2 divert, 3 forget
    input  wire logic [FLOW_BITS-1:0] flow_i,
    input  wire logic                 direction_i,
    input  wire logic [         31:0] number_i,           // TCP sequence number
    input  wire logic [         31:0] acknowledgement_i,
    input  wire logic [          7:0] flags_i,
    input  wire logic [         15:0] payload_i,
    input  wire logic [         31:0] generation_i,       // of a command
    output logic                      valid_o,            // two cycles later
    output segment_class_e            kind_o,
    output logic      [         31:0] generation_o,       // of the entry, before the beat
    output logic                      stale_o,            // command for another generation
    output logic      [         31:0] next_o              // next expected number of the direction, after the beat
);

  typedef struct packed {
    logic [31:0]     generation_of;
    sequence_state_t state;
  } entry_t;

  typedef struct packed {
    logic                 valid;
    logic [1:0]           op;
    logic [FLOW_BITS-1:0] flow;
    logic                 direction;
    logic [31:0]          number;
    logic [31:0]          acknowledgement;
    logic [7:0]           flags;
    logic [15:0]          payload;
    logic [31:0]          generation_of;
  } beat_t;

  // Clearing after reset: one entry per cycle.
  logic [FLOW_BITS:0] clear_q;
  assign ready_o = clear_q[FLOW_BITS];

  beat_t read_q;  // beat whose entry the RAM is delivering
  entry_t ram_data, old, new_d, result_q, written_q;
  logic result_valid_q, written_valid_q;
  logic [FLOW_BITS-1:0] result_flow_q, written_flow_q;
  sequence_result_t update;
  logic stale;

  weir_ram_1r1w #(
      .ADDRESS_BITS(FLOW_BITS),
      .DATA_BITS   ($bits(entry_t))
  ) entries (
      .clk_i          (clk_i),
      .write_i        (!ready_o || result_valid_q),
      .write_address_i(ready_o ? result_flow_q : clear_q[FLOW_BITS-1:0]),
      .write_data_i   (ready_o ? result_q : '0),
      .read_address_i (flow_i),
      .read_data_o    (ram_data)
  );

  always_comb begin
    old = ram_data;
    if (written_valid_q && written_flow_q == read_q.flow) old = written_q;
    if (result_valid_q && result_flow_q == read_q.flow) old = result_q;
    update = sequence_update(old.state, read_q.direction, read_q.number, read_q.acknowledgement,
                             read_q.flags, read_q.payload);
    stale = read_q.generation_of != old.generation_of;
    new_d = old;
    if (read_q.op == 2'd0) begin
      new_d.state = update.state;
    end else if (read_q.op == 2'd3 && !stale) begin
      new_d = '0;
      new_d.generation_of = old.generation_of + 32'd1;
    end
  end

  always_ff @(posedge clk_i) begin
    read_q.op <= op_i;
    read_q.flow <= flow_i;
    read_q.direction <= direction_i;
    read_q.number <= number_i;
    read_q.acknowledgement <= acknowledgement_i;
    read_q.flags <= flags_i;
    read_q.payload <= payload_i;
    read_q.generation_of <= generation_i;
    result_q <= new_d;
    result_flow_q <= read_q.flow;
    written_q <= result_q;
    written_flow_q <= result_flow_q;
    kind_o <= update.kind;
    generation_o <= old.generation_of;
    stale_o <= read_q.op != 2'd0 && stale;
    next_o <= update.state[read_q.direction].next;
    if (rst_i) begin
      clear_q <= '0;
      read_q.valid <= 1'b0;
      result_valid_q <= 1'b0;
      written_valid_q <= 1'b0;
    end else begin
      if (!ready_o) clear_q <= clear_q + (FLOW_BITS + 1)'(1);
      read_q.valid <= valid_i;
      result_valid_q <= read_q.valid;
      written_valid_q <= result_valid_q;
    end
  end

  assign valid_o = result_valid_q;

endmodule

`default_nettype wire
