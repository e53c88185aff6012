// Spike: two accesses to the flow entry with a long match between them.
//
// Function: frames and commands enter as one stream of beats; each gets its sequence class at the first access, waits
// for its match result (in order, any latency), and its verdict at the second. Commands travel in the same stream, so
// their order to the frames is defined at one place, the input.
// Latency: 7 cycles plus the match. Throughput: one beat per cycle. Back-pressure: in_ready_o by credits, so that
// neither queue can overflow however match results and the output stall.
//
//     in ──► parse access ──► waiting ──► verdict access ──► out queue ──► out
//                                │ ▲
//                                │ └── match results (hit or not), in order
`default_nettype none

module weir_flow_spike
  import weir_sequence_pkg::*;
#(
    parameter int unsigned FLOW_BITS = 4,     // log2 of the number of flow entries
    parameter int unsigned WAITING_BITS = 8,  // log2 of the beats between the two accesses
    parameter int unsigned OUT_BITS = 3       // log2 of the results kept for a stalled output
) (
    input  wire logic                 clk_i,
    input  wire logic                 rst_i,
    input  wire logic                 in_valid_i,
    output logic                      in_ready_o,
    input  wire logic [          1:0] in_op_i,               // 0 frame, 1 release, 2 divert, 3 forget
    input  wire logic [FLOW_BITS-1:0] in_flow_i,
    input  wire logic                 in_direction_i,
    input  wire logic [         31:0] in_number_i,
    input  wire logic [         31:0] in_acknowledgement_i,
    input  wire logic [          7:0] in_flags_i,
    input  wire logic [         15:0] in_payload_i,
    input  wire logic [         31:0] in_generation_i,
    input  wire logic [         63:0] in_bound_i,            // release: k
    input  wire logic                 match_valid_i,         // result of the oldest frame without one
    input  wire logic                 match_hit_i,
    output logic                      match_ready_o,
    output logic                      out_valid_o,
    input  wire logic                 out_ready_i,
    output logic      [          1:0] out_op_o,
    output logic      [          3:0] out_class_o,
    output logic                      out_divert_o,
    output logic                      out_sticky_o,
    output logic                      out_stale_o,
    output logic      [         31:0] out_generation_o,
    output logic      [         31:0] out_next_o,
    output logic      [         63:0] out_frame_o,
    output logic      [         63:0] out_position_o,
    output logic      [         63:0] out_chain_head_o,
    output logic      [         31:0] out_chain_count_o
);

  if (OUT_BITS < 2) begin : g_check
    $error("OUT_BITS must be at least 2: two beats are under way in the verdict access");
  end

  typedef struct packed {
    logic [1:0]           op;
    logic [FLOW_BITS-1:0] flow;
    logic [15:0]          payload;
    logic [63:0]          frame;
    logic [63:0]          bound;
  } side_t;

  typedef struct packed {
    side_t          side;
    segment_class_e kind;
    logic           stale;
    logic [31:0]    generation_of;
    logic [31:0]    next;
  } waiting_t;

  typedef struct packed {
    logic [1:0]     op;
    segment_class_e kind;
    logic           divert;
    logic           sticky;
    logic           stale;
    logic [31:0]    generation_of;
    logic [31:0]    next;
    logic [63:0]    frame;
    logic [63:0]    position;
    logic [63:0]    chain_head;
    logic [31:0]    chain_count;
  } result_t;

  // ---- input and first access
  logic accept, parse_ready, verdict_ready;
  logic [WAITING_BITS:0] waiting_credit_q;  // beats accepted and not yet taken by the second access
  logic [63:0] frame_q;                     // number of the last frame accepted
  logic [63:0] frame_now;
  side_t side_1_q, side_2_q;
  logic parsed_valid, stale;
  segment_class_e kind;
  logic [31:0] generation_of, next;
  logic take;

  assign in_ready_o = parse_ready && verdict_ready &&
                      waiting_credit_q != (WAITING_BITS + 1)'(1 << WAITING_BITS);
  assign accept = in_valid_i && in_ready_o;
  assign frame_now = frame_q + 64'(in_op_i == 2'd0);

  weir_flow_parse #(
      .FLOW_BITS(FLOW_BITS)
  ) parse (
      .clk_i            (clk_i),
      .rst_i            (rst_i),
      .ready_o          (parse_ready),
      .valid_i          (accept),
      .op_i             (in_op_i),
      .flow_i           (in_flow_i),
      .direction_i      (in_direction_i),
      .number_i         (in_number_i),
      .acknowledgement_i(in_acknowledgement_i),
      .flags_i          (in_flags_i),
      .payload_i        (in_payload_i),
      .generation_i     (in_generation_i),
      .valid_o          (parsed_valid),
      .kind_o           (kind),
      .generation_o     (generation_of),
      .stale_o          (stale),
      .next_o           (next)
  );

  always_ff @(posedge clk_i) begin
    side_1_q <= '{
        op: in_op_i,
        flow: in_flow_i,
        payload: in_payload_i,
        frame: frame_now,
        bound: in_bound_i
    };
    side_2_q <= side_1_q;
    if (rst_i) begin
      frame_q <= '0;
      waiting_credit_q <= '0;
    end else begin
      if (accept) frame_q <= frame_now;
      waiting_credit_q <= waiting_credit_q + (WAITING_BITS + 1)'(accept) -
                          (WAITING_BITS + 1)'(take);
    end
  end

  // ---- waiting for the match
  waiting_t waiting_in, waiting;
  logic waiting_valid;

  assign waiting_in = '{
      side: side_2_q,
      kind: kind,
      stale: stale,
      generation_of: generation_of,
      next: next
  };

  weir_fifo #(
      .DEPTH_BITS(WAITING_BITS),
      .DATA_BITS ($bits(waiting_t))
  ) waiting_queue (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .push_i (parsed_valid),
      .data_i (waiting_in),
      .valid_o(waiting_valid),
      .data_o (waiting),
      .pop_i  (take)
  );

  // ---- second access
  logic is_frame, out_pop, verdict_valid, divert, sticky;
  logic [OUT_BITS:0] out_credit_q;  // results under way or in the output queue
  logic [63:0] position, chain_head;
  logic [31:0] chain_count;
  waiting_t under_1_q, under_2_q;

  assign is_frame = waiting.side.op == 2'd0;
  assign take = waiting_valid && (!is_frame || match_valid_i) &&
                out_credit_q != (OUT_BITS + 1)'(1 << OUT_BITS);
  assign match_ready_o = take && is_frame;

  weir_flow_verdict #(
      .FLOW_BITS(FLOW_BITS)
  ) verdict (
      .clk_i        (clk_i),
      .rst_i        (rst_i),
      .ready_o      (verdict_ready),
      .valid_i      (take),
      .op_i         (waiting.side.op),
      .flow_i       (waiting.side.flow),
      .trouble_i    (is_frame ? match_hit_i || waiting.kind[3] : waiting.stale),
      .frame_i      (waiting.side.frame),
      .bound_i      (waiting.side.bound),
      .length_i     ((32'(waiting.side.payload) + 32'd127) & ~32'd63),
      .valid_o      (verdict_valid),
      .divert_o     (divert),
      .sticky_o     (sticky),
      .position_o   (position),
      .chain_head_o (chain_head),
      .chain_count_o(chain_count)
  );

  always_ff @(posedge clk_i) begin
    under_1_q <= waiting;
    under_2_q <= under_1_q;
    if (rst_i) begin
      out_credit_q <= '0;
    end else begin
      out_credit_q <= out_credit_q + (OUT_BITS + 1)'(take) - (OUT_BITS + 1)'(out_pop);
    end
  end

  // ---- output
  result_t result_in, result;
  assign result_in = '{
      op: under_2_q.side.op,
      kind: under_2_q.kind,
      divert: divert,
      sticky: sticky,
      stale: under_2_q.stale,
      generation_of: under_2_q.generation_of,
      next: under_2_q.next,
      frame: under_2_q.side.frame,
      position: position,
      chain_head: chain_head,
      chain_count: chain_count
  };

  weir_fifo #(
      .DEPTH_BITS(OUT_BITS),
      .DATA_BITS ($bits(result_t))
  ) out_queue (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .push_i (verdict_valid),
      .data_i (result_in),
      .valid_o(out_valid_o),
      .data_o (result),
      .pop_i  (out_pop)
  );

  assign out_pop = out_valid_o && out_ready_i;
  assign out_op_o = result.op;
  assign out_class_o = result.kind;
  assign out_divert_o = result.divert;
  assign out_sticky_o = result.sticky;
  assign out_stale_o = result.stale;
  assign out_generation_o = result.generation_of;
  assign out_next_o = result.next;
  assign out_frame_o = result.frame;
  assign out_position_o = result.position;
  assign out_chain_head_o = result.chain_head;
  assign out_chain_count_o = result.chain_count;

endmodule

`default_nettype wire
