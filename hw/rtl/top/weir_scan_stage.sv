// A frame's second stage: its payload is scanned, and records are asked that hits and the header table lead to.
//
// Function: facts to the judge, bytes to the scanner; the frame is handed on when its last hit was taken and its text facts
// are there. Latency and throughput: one frame at a time; some 20 cycles, and one per word scanned and per record asked. A
// frame whose fate is decided already is handed on at once. Back-pressure: ready_o.
`default_nettype none

module weir_scan_stage
  import weir_contract_pkg::*;
  import weir_parse_pkg::*;
  import weir_match_pkg::*;
  import weir_judge_pkg::*;
  import weir_core_pkg::*;
  import weir_frame_pkg::*;
(
    input  wire logic          clk_i,
    input  wire logic          rst_i,
    output logic               ready_o,
    input  wire logic          load_i,         // while ready_o
    input  wire frame_t        frame_i,
    input  wire parsed_t       parsed_i,
    output logic               busy_o,
    input  wire logic          ready_i,        // the next stage takes a frame
    output logic               hand_o,         // it gets one: frame_o
    output frame_t             frame_o,        // the frame at hand
    output parsed_t            parsed_o,
    output logic               bank_o,
    output logic               scan_o,         // start
    output scan_context_t      scan_context_o,
    input  wire logic          scanned_i,      // facts are there
    input  wire logic [63:0]   messages_i,
    input  wire logic [63:0]   behind_tail_i,
    input  wire logic [63:0]   alone_i,
    input  wire logic          hit_taken_i,
    input  wire hit_t          hit_i,
    output logic               facts_valid_o,
    input  wire logic          facts_ready_i,
    output frame_facts_t       facts_o,
    output logic               read_o          // read the frame's words
);

  typedef enum logic [1:0] {IDLE, FACTS, SCAN, HAND} state_e;

  state_e state_q;
  frame_t f_q;
  parsed_t parsed_q;
  logic ended_q;  // the last hit was taken
  logic [63:0] texts;

  assign busy_o = state_q != IDLE;
  assign hand_o = (state_q == HAND || (state_q == SCAN && scanned_i && ended_q)) && ready_i;
  assign ready_o = state_q == IDLE || hand_o;
  assign parsed_o = parsed_q;
  assign bank_o = f_q.active.bank;
  assign facts_o = facts_of(parsed_q, f_q.staged, f_q.keyed, bank_o,
                            f_q.has_slot ? f_q.verdict.scopes : 8'hff,
                            f_q.has_slot ? f_q.verdict.told_class : 6'd0, f_q.addresses, f_q.ports);
  assign facts_valid_o = state_q == FACTS;
  assign scan_o = facts_valid_o && facts_ready_i;
  assign read_o = scan_o && f_q.payload;
  assign texts = (f_q.staged.may_continue ? behind_tail_i : '0) | (f_q.staged.continues ? '0 : alone_i);
  assign scan_context_o = '{
      bank: bank_o,
      start: parsed_q.payload_start,
      last: parsed_q.payload_end,
      tail_count: f_q.staged.tail.count,
      tail: f_q.staged.tail.bytes
  };

  always_comb begin
    frame_o = f_q;
    frame_o.fired = f_q.staged.guards | (f_q.payload ? texts | messages_i : '0);
  end

  always_ff @(posedge clk_i) begin
    unique case (state_q)
      FACTS: if (facts_ready_i) state_q <= SCAN;
      default: if (hand_o) state_q <= IDLE;
    endcase
    if (hit_taken_i) begin
      if (hit_i.ending) begin
        f_q.total <= hit_i.total;
        ended_q   <= 1'b1;
      end else begin
        f_q.hits <= f_q.hits + 32'd1;
      end
    end
    if (load_i) begin
      f_q <= frame_i;
      parsed_q <= parsed_i;
      ended_q <= 1'b0;
      state_q <= frame_i.cause == FATE_FRAME ? FACTS : HAND;
    end
    if (rst_i) state_q <= IDLE;
  end

endmodule

`default_nettype wire
