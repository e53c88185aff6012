// A frame's second stage: its payload is scanned, records are asked.
//
// Function: facts to the judge, bytes to the scanner, then the guards that fired. What the frames ahead did to the verdict
// state (`hole`, `sticky`) is read when the last of them has had its verdict, while the payload is scanned. Latency and
// throughput: one frame at a time; some 15 cycles, and one per word scanned and per record asked. A frame whose fate is
// decided already is handed on at once. Back-pressure: ready_o.
`default_nettype none

module weir_judge_stage
  import weir_contract_pkg::*;
  import weir_parse_pkg::*;
  import weir_match_pkg::*;
  import weir_verdict_pkg::*;
  import weir_judge_pkg::*;
  import weir_dma_pkg::*;
  import weir_core_pkg::*;
  import weir_frame_pkg::*;
#(
    parameter  int unsigned QUEUES_LOG2 = 1,
    localparam int unsigned QUEUES = 1 << QUEUES_LOG2
) (
    input  wire logic                       clk_i,
    input  wire logic                       rst_i,
    output logic                            ready_o,
    input  wire logic                       load_i,         // while ready_o
    input  wire frame_t                     frame_i,
    input  wire parsed_t                    parsed_i,
    output logic                            busy_o,
    input  wire logic                       ready_i,        // the next stage takes a frame
    output logic                            hand_o,         // it gets one: frame_o
    output frame_t                          frame_o,        // the frame at hand
    output parsed_t                         parsed_o,
    input  wire queue_config_t [QUEUES-1:0] queues_i,
    input  wire logic                       ahead_i,        // the frame ahead has not asked for its verdict
    output verdict_request_t                verdict_o,      // until granted
    input  wire logic                       granted_i,
    input  wire verdict_answer_t            verdict_i,
    output logic                            bank_o,
    output logic                            scan_o,         // start
    output scan_context_t                   scan_context_o,
    input  wire logic                       scanned_i,      // facts are there
    input  wire logic [63:0]                messages_i,
    input  wire logic [63:0]                behind_tail_i,
    input  wire logic [63:0]                alone_i,
    input  wire logic                       hit_taken_i,
    input  wire hit_t                       hit_i,
    output logic                            facts_valid_o,
    input  wire logic                       facts_ready_i,
    output frame_facts_t                    facts_o,
    output logic                            fired_valid_o,
    input  wire logic                       fired_ready_i,
    output logic [63:0]                     fired_o,
    input  wire logic                       judged_valid_i,
    input  wire judged_t                    judged_i,
    output logic                            read_o,         // read the frame's words for the scan
    output count_t                          count_o
);

  typedef enum logic [2:0] {IDLE, FACTS, SCAN, FIRED, JUDGE, HAND} state_e;

  state_e state_q;
  frame_t f_q;
  parsed_t parsed_q;
  logic asked_q, known_q;  // the verdict state was asked for, is there
  logic [63:0] texts;

  assign busy_o = state_q != IDLE;
  assign hand_o = state_q == HAND && ready_i;
  assign ready_o = state_q == IDLE || hand_o;
  assign frame_o = f_q;
  assign parsed_o = parsed_q;
  assign bank_o = f_q.active.bank;
  assign facts_o = facts_of(parsed_q, f_q.staged, f_q.keyed, bank_o,
                            f_q.has_slot ? f_q.verdict.scopes : 8'hff,
                            f_q.has_slot ? f_q.verdict.told_class : 6'd0, f_q.addresses, f_q.ports);
  assign texts = (f_q.staged.may_continue ? behind_tail_i : '0) | (f_q.staged.continues ? '0 : alone_i);
  assign fired_o = f_q.staged.guards | (f_q.payload ? texts | messages_i : '0) |
                   history_guards(f_q, queues_i[f_q.queue_of[QUEUES_LOG2-1:0]].history_size);
  assign scan_context_o = '{
      bank: bank_o,
      start: parsed_q.payload_start,
      last: parsed_q.payload_end,
      tail_count: f_q.staged.tail.count,
      tail: f_q.staged.tail.bytes
  };

  always_comb begin
    verdict_o = '0;
    if (state_q inside {FACTS, SCAN}) begin
      verdict_o.valid = !asked_q && !known_q && !ahead_i;
      verdict_o.slot = f_q.slot;
      verdict_o.beat.op = VERDICT_HANDOVER;
      verdict_o.beat.stale = 1'b1;
    end
    facts_valid_o = state_q == FACTS;
    fired_valid_o = state_q == FIRED;
    scan_o = facts_valid_o && facts_ready_i;
    read_o = scan_o && f_q.payload;
    count_o = '0;
    count_o.amount_of = '1;
    if (state_q == JUDGE && judged_valid_i) begin
      count_o.guards = judged_i.heard;
      count_o.more[COUNTER_FRAMES_LITERAL] = judged_i.by_literal;
      count_o.more[COUNTER_FRAMES_GUARD] = judged_i.by_guard;
      count_o.more[COUNTER_FRAMES_HEADER] = judged_i.by_header;
    end
  end

  always_ff @(posedge clk_i) begin
    unique case (state_q)
      FACTS: if (facts_ready_i) state_q <= SCAN;
      SCAN: if (scanned_i && known_q) state_q <= FIRED;
      FIRED: if (fired_ready_i) state_q <= JUDGE;
      JUDGE: begin
        f_q.judged <= judged_i;
        if (judged_valid_i) state_q <= HAND;
      end
      HAND: if (hand_o) state_q <= IDLE;
      default: ;
    endcase
    if (verdict_o.valid && granted_i) asked_q <= 1'b1;
    if (asked_q && verdict_i.valid) begin
      asked_q <= 1'b0;
      known_q <= 1'b1;
      f_q.verdict <= verdict_i.state;
    end
    if (hit_taken_i) begin
      if (hit_i.ending) f_q.total <= hit_i.total;
      else f_q.hits <= f_q.hits + 32'd1;
    end
    if (load_i) begin
      f_q <= frame_i;
      parsed_q <= parsed_i;
      asked_q <= 1'b0;
      // The entry begins with the frame, or it has none.
      known_q <= frame_i.created || !frame_i.has_slot;
      state_q <= frame_i.cause == FATE_FRAME ? FACTS : HAND;
    end
    if (rst_i) begin
      state_q <= IDLE;
      asked_q <= 1'b0;
    end
  end

endmodule

`default_nettype wire
