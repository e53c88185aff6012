// A frame's last stage: its verdict, what is written of it, its fate.
//
//     verdict ─ record ─ descriptor ─ pin ──┐
//        │         └────────────── fate ────┴ done
//        └ sums to the counters
//
// Function: hw-sim/src/pipeline/verdict.rs. Frames come here in order, one at a time, so that positions in history, chains,
// descriptors and what leaves by the port are in frame order. Latency and throughput: some 15 cycles, and one per word
// written and per word sent. Back-pressure: ready_o; the host's memory and the port alone hold a frame here.
`default_nettype none

module weir_verdict_stage
  import weir_contract_pkg::*;
  import weir_match_pkg::*;
  import weir_verdict_pkg::*;
  import weir_dma_pkg::*;
  import weir_core_pkg::*;
  import weir_frame_pkg::*;
#(
    parameter  int unsigned QUEUES_LOG2 = 1,
    localparam int unsigned QUEUES = 1 << QUEUES_LOG2
) (
    input  wire logic                    clk_i,
    input  wire logic                    rst_i,
    output logic                         ready_o,
    input  wire logic                    load_i,        // while ready_o
    input  wire frame_t                  frame_i,
    output frame_t                       frame_o,       // the frame at hand
    output logic                         busy_o,
    output logic                         ahead_o,       // its verdict is not asked for yet
    output logic                         done_o,        // it has its fate
    input  wire core_config_t            config_i,
    output place_request_t               place_o,
    input  wire record_place_t                  place_i,
    input  wire logic [QUEUES-1:0][31:0] descriptors_free_i,
    input  wire logic                    in_flight_full_i,
    output logic                         in_flight_o,
    output verdict_request_t             verdict_o,
    input  wire verdict_answer_t         verdict_i,
    output logic                         read_o,        // read the frame's words for ...
    output logic                         read_out_o,    // the port, else its record
    input  wire logic                    read_done_i,   // the last was taken
    output write_request_t               write_o,
    input  wire logic                    write_ready_i,
    output recorded_t                    recorded_o,
    output pin_request_t                 pin_o,         // until taken
    input  wire logic                    pin_ready_i,
    input  wire pin_answer_t             pin_i,
    output count_t                       count_o
);

  typedef enum logic [3:0] {IDLE, VERDICT, RECORD, DATA, DESCRIPTOR, PIN, FATE, EGRESS, DONE} state_e;

  state_e state_q;
  frame_t f_q;
  logic sent_q, open_q, trouble, room, inspected, beats;
  localparam logic [3:0] SUMMED = '1;
  logic [3:0] step_q;  // of the sums

  assign inspected = f_q.cause == FATE_FRAME;
  // A frame that was not inspected leaves a hole.
  assign beats = f_q.has_slot && f_q.cause inside {FATE_FRAME, DROP_LONG, FAIL_TABLES};
  assign trouble = f_q.judged.first != RECORD_NONE;
  assign room = descriptors_free_i[f_q.queue_of[QUEUES_LOG2-1:0]] != '0 && !in_flight_full_i;
  assign done_o = state_q == DONE && step_q == SUMMED;
  assign ready_o = state_q == IDLE || done_o;
  assign busy_o = state_q != IDLE;
  assign ahead_o = state_q == VERDICT && !sent_q;
  assign frame_o = f_q;
  assign place_o = '{queue_of: f_q.queue_of, length_of: f_q.meta.length_of};
  assign recorded_o = '{
      valid: state_q == RECORD && f_q.out.record_of && write_ready_i,
      queue_of: f_q.queue_of,
      start: f_q.start,
      last: f_q.last,
      flow: f_q.has_slot,
      slot: f_q.slot,
      generation_of: f_q.generation_of
  };
  assign in_flight_o = state_q == DESCRIPTOR && f_q.out.fate == FATE_DIVERT && write_ready_i;

  // ---- requests
  always_comb begin
    verdict_o = '0;
    write_o = '0;
    pin_o = '0;
    read_o = 1'b0;
    read_out_o = 1'b0;
    count_o = '0;
    count_o.amount_of = '1;
    unique case (state_q)
      VERDICT: begin
        verdict_o.valid = !sent_q && beats;
        verdict_o.slot = f_q.slot;
        verdict_o.beat.op = f_q.cause == DROP_LONG ? VERDICT_MISS : VERDICT_FRAME;
        verdict_o.beat.created = f_q.created;
        verdict_o.beat.inspected = inspected;
        verdict_o.beat.trouble = inspected && trouble;
        verdict_o.beat.placed = inspected && f_q.placed;
        verdict_o.beat.room = inspected && room;
        verdict_o.beat.number = f_q.meta.number;
        verdict_o.beat.position = place_i.start;
      end
      RECORD: begin
        write_o.valid = f_q.out.record_of;
        write_o.kind = WRITE_RECORD;
        write_o.queue_of = f_q.queue_of;
        write_o.body = 1024'(header_of(f_q));
        write_o.length_of = f_q.meta.length_of;
        read_o = f_q.out.record_of && write_ready_i;
        if (f_q.out.record_of && write_ready_i) begin
          count_o.more[COUNTER_HISTORY_FRAMES] = 1'b1;
          count_o.amount_of = 7'(COUNTER_HISTORY_BYTES);
          count_o.amount = record_bytes(f_q.meta.length_of);
        end
        count_o.more[COUNTER_HISTORY_LOST] = f_q.out.lost;
        count_o.more[COUNTER_DIVERT_NEW] = f_q.out.newly && (write_ready_i || !f_q.out.record_of);
      end
      DESCRIPTOR: begin
        write_o.valid = f_q.out.fate == FATE_DIVERT;
        write_o.kind = WRITE_DESCRIPTOR;
        write_o.queue_of = f_q.queue_of;
        write_o.body = 1024'(descriptor_of(f_q));
        if (in_flight_o) begin
          count_o.more[COUNTER_DESCRIPTORS] = 1'b1;
          count_o.more[COUNTER_DESCRIPTORS_FRAME] = 1'b1;
          count_o.more[COUNTER_DIVERTED_FRAMES] = 1'b1;
          count_o.more[COUNTER_IN_FLIGHT] = 1'b1;
          count_o.more[COUNTER_FRAMES_STICKY] = !trouble;
          count_o.amount_of = 7'(COUNTER_DIVERTED_BYTES);
          count_o.amount = 64'(f_q.meta.length_of);
        end
      end
      PIN: begin
        pin_o.valid = !sent_q;
        pin_o.push = 1'b1;
        pin_o.queue_of = f_q.queue_of;
        pin_o.oldest = oldest_of(f_q);
        if (!sent_q && pin_ready_i) begin
          count_o.amount_of = 7'(COUNTER_CHAIN_FRAMES);
          count_o.amount = 64'(f_q.out.chain.count);
        end
      end
      FATE: begin
        read_o = open_q;
        read_out_o = 1'b1;
        count_o.amount = 64'(f_q.meta.length_of);
        if (!open_q) begin
          count_o.amount_of = 7'(COUNTER_DROPPED_BYTES);
          count_o.more[COUNTER_DROPPED_FRAMES] = 1'b1;
          unique case (f_q.cause)
            DROP_BLOCKED: count_o.more[COUNTER_DROPPED_FLOW_BLOCKED] = 1'b1;
            DROP_LONG: count_o.more[COUNTER_DROPPED_TOO_LONG] = 1'b1;
            FAIL_TABLES: count_o.more[COUNTER_DROPPED_FAIL_CLOSED] = 1'b1;
            default: count_o.more[COUNTER_DROPPED_RING_FULL] = 1'b1;
          endcase
        end else begin
          count_o.more[COUNTER_TRANSMITTED_FRAMES] = 1'b1;
          if (inspected && f_q.out.fate == FATE_PASS) begin
            count_o.amount_of = 7'(COUNTER_PASSED_BYTES);
            count_o.more[COUNTER_PASSED_FRAMES] = 1'b1;
          end else begin
            count_o.amount_of = 7'(COUNTER_BYPASSED_BYTES);
            count_o.more[COUNTER_BYPASSED_FRAMES] = 1'b1;
            unique case (f_q.cause)
              BYPASS_FLOW: count_o.more[COUNTER_BYPASSED_FLOW] = 1'b1;
              FAIL_TABLES: count_o.more[COUNTER_BYPASSED_FAIL_OPEN] = 1'b1;
              default: count_o.more[COUNTER_BYPASSED_RING_FULL] = 1'b1;
            endcase
          end
        end
      end
      default: ;
    endcase
    // What judging summed up, while the frame goes on.
    unique case (step_q)
      4'd0: {count_o.also_of, count_o.also} = {7'(COUNTER_RECORDS_HELD), 64'(f_q.judged.held)};
      4'd1: {count_o.also_of, count_o.also} = {7'(COUNTER_LIST_ENTRIES), 64'(f_q.judged.entries)};
      4'd2: {count_o.also_of, count_o.also} = {7'(COUNTER_PAYLOAD_BYTES), f_q.payload ? 64'(f_q.payload_bytes) : '0};
      4'd3: {count_o.also_of, count_o.also} = {7'(COUNTER_HITS), 64'(f_q.hits)};
      4'd4: begin
        count_o.also_of = 7'(COUNTER_CANDIDATES);
        for (int unsigned n = 0; n < LENGTHS; n++) begin
          count_o.also = count_o.also + 64'(f_q.total.candidates[n]);
        end
      end
      default:
      if (step_q != SUMMED) begin
        count_o.also_of = 7'(COUNTER_CANDIDATES_4) + 7'(step_q) - 7'd5;
        count_o.also = 64'(f_q.total.candidates[3'(step_q-4'd5)]);
      end
    endcase
  end

  // ---- steps
  always_ff @(posedge clk_i) begin
    sent_q <= 1'b1;
    unique case (state_q)
      VERDICT: begin
        if (!sent_q) begin
          f_q.start <= place_i.start;
          f_q.last  <= place_i.last;
        end
        if (!inspected) begin
          if (verdict_i.valid || !beats) state_q <= FATE;
        end else begin
          f_q.out <= verdict_i.out;
          if (!f_q.has_slot) begin
            f_q.out <= '0;
            f_q.out.fate <= !trouble ? FATE_PASS : room ? FATE_DIVERT : FATE_FULL;
            f_q.out.record_of <= trouble && f_q.placed;
            f_q.out.lost <= trouble && !f_q.placed;
          end
          if (verdict_i.valid || !f_q.has_slot) state_q <= RECORD;
        end
      end
      RECORD: begin
        if (!f_q.out.record_of) state_q <= DESCRIPTOR;
        else if (write_ready_i) state_q <= DATA;
      end
      DATA: if (read_done_i) state_q <= DESCRIPTOR;
      DESCRIPTOR: begin
        open_q <= f_q.out.fate == FATE_PASS || !config_i.fail_closed;
        if (f_q.out.fate != FATE_DIVERT) begin
          state_q <= FATE;
        end else if (write_ready_i) begin
          sent_q  <= 1'b0;
          state_q <= PIN;
        end
      end
      PIN: begin
        if (!sent_q && !pin_ready_i) sent_q <= 1'b0;
        else if (oldest_of(f_q) == POSITION_NONE || (pin_i.valid && pin_i.push)) state_q <= DONE;
      end
      FATE: state_q <= open_q ? EGRESS : DONE;
      EGRESS: if (read_done_i) state_q <= DONE;
      DONE: if (done_o) state_q <= IDLE;
      default: ;
    endcase
    if (step_q != SUMMED) step_q <= step_q == (f_q.payload ? 4'd9 : 4'd0) ? SUMMED : step_q + 4'd1;
    if (load_i) begin
      f_q <= frame_i;
      open_q <= frame_i.open;
      sent_q <= 1'b0;
      step_q <= frame_i.cause == FATE_FRAME ? 4'd0 : SUMMED;
      state_q <= VERDICT;
    end
    if (rst_i) begin
      state_q <= IDLE;
      step_q  <= SUMMED;
    end
  end

endmodule

`default_nettype wire
