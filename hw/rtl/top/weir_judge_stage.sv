// A frame's third stage: the guards that fired, and what judging found.
//
// Function: what the frames ahead did to the verdict state (`hole`, `sticky`) is read when the last of them has asked for its
// verdict; then the frame's guards go to the judge. Latency and throughput: one frame at a time; some 12 cycles, and one per
// record that guards lead to. Back-pressure: ready_o.
`default_nettype none

module weir_judge_stage
  import weir_contract_pkg::*;
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
    output logic                            busy_o,
    input  wire logic                       ready_i,        // the next stage takes a frame
    output logic                            hand_o,         // it gets one: frame_o
    output frame_t                          frame_o,        // the frame at hand
    input  wire queue_config_t [QUEUES-1:0] queues_i,
    input  wire logic                       ahead_i,        // the frame ahead has not asked for its verdict
    output verdict_request_t                verdict_o,      // until granted
    input  wire logic                       granted_i,
    input  wire verdict_answer_t            verdict_i,
    output logic                            fired_valid_o,
    input  wire logic                       fired_ready_i,
    output logic [63:0]                     fired_o,
    input  wire logic                       judged_valid_i,
    input  wire judged_t                    judged_i,
    output count_t                          count_o
);

  typedef enum logic [1:0] {IDLE, FIRED, JUDGE, HAND} state_e;

  state_e state_q;
  frame_t f_q;
  logic asked_q, known_q;  // the verdict state was asked for, is there
  logic judged;

  assign judged = state_q == JUDGE && judged_valid_i;
  assign busy_o = state_q != IDLE;
  assign hand_o = (state_q == HAND || judged) && ready_i;
  assign ready_o = state_q == IDLE || hand_o;
  assign fired_valid_o = state_q == FIRED && known_q;
  assign fired_o = f_q.fired | history_guards(f_q, queues_i[f_q.queue_of[QUEUES_LOG2-1:0]].history_size);

  always_comb begin
    frame_o = f_q;
    if (judged) frame_o.judged = judged_i;
    verdict_o = '0;
    if (state_q == FIRED) begin
      verdict_o.valid = !asked_q && !known_q && !ahead_i;
      verdict_o.slot = f_q.slot;
      verdict_o.beat.op = VERDICT_HANDOVER;
      verdict_o.beat.stale = 1'b1;
    end
    count_o = '0;
    count_o.amount_of = '1;
    if (judged) begin
      count_o.guards = judged_i.heard;
      count_o.more[COUNTER_FRAMES_LITERAL] = judged_i.by_literal;
      count_o.more[COUNTER_FRAMES_GUARD] = judged_i.by_guard;
      count_o.more[COUNTER_FRAMES_HEADER] = judged_i.by_header;
    end
  end

  always_ff @(posedge clk_i) begin
    unique case (state_q)
      FIRED: if (fired_valid_o && fired_ready_i) state_q <= JUDGE;
      JUDGE: begin
        if (judged_valid_i) begin
          f_q.judged <= judged_i;
          state_q <= hand_o ? IDLE : HAND;
        end
      end
      default: if (hand_o) state_q <= IDLE;
    endcase
    if (verdict_o.valid && granted_i) asked_q <= 1'b1;
    if (asked_q && verdict_i.valid) begin
      asked_q <= 1'b0;
      known_q <= 1'b1;
      f_q.verdict <= verdict_i.state;
    end
    if (load_i) begin
      f_q <= frame_i;
      asked_q <= 1'b0;
      // The entry begins with the frame, or it has none.
      known_q <= frame_i.created || !frame_i.has_slot;
      state_q <= frame_i.cause == FATE_FRAME ? FIRED : HAND;
    end
    if (rst_i) begin
      state_q <= IDLE;
      asked_q <= 1'b0;
    end
  end

endmodule

`default_nettype wire
