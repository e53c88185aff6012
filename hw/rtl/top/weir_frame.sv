// Frames on their way, one behind the other, from their queue's room to their fate.
//
//     weir_room_stage ──► weir_lookup_stage ──► weir_scan_stage ──► weir_judge_stage ──► weir_verdict_stage
//     key, room           flow, entry           hits, records       guards               verdict, history, descriptor, port
//
// Function: the order of hw-sim/src/pipeline/mod.rs, `offer`, for up to five frames at a time, one in each stage, in order.
// What a frame finds is what the frames before it left, however full a queue is (decision 0031): the stages share the flow
// entry's verdict state alone, whose requests are answered in the order of frames. Latency and throughput: of the slowest
// stage. Back-pressure: a frame stays in its stage until the next one takes it.
`default_nettype none

module weir_frame
  import weir_contract_pkg::*;
  import weir_parse_pkg::*;
  import weir_match_pkg::*;
  import weir_flow_pkg::*;
  import weir_judge_pkg::*;
  import weir_verdict_pkg::*;
  import weir_dma_pkg::*;
  import weir_core_pkg::*;
  import weir_frame_pkg::*;
#(
    parameter  int unsigned QUEUES_LOG2 = 1,
    parameter  int unsigned SLOT = 6,         // log2 of the flow entries
    localparam int unsigned QUEUES = 1 << QUEUES_LOG2
) (
    input  wire logic                       clk_i,
    input  wire logic                       rst_i,
    input  wire logic                       go_i,          // take the frame that stands there
    output logic                            taken_o,       // it is taken from there, or
    output logic                            waited_o,      // with taken_o: it has to be offered again
    output logic                            drained_o,     // the stages behind the first are empty
    output logic [1:0]                      in_use_o,      // banks that frames are judged by
    output logic                            done_o,        // a frame has its fate: of fate_meta_o
    output frame_meta_t                     fate_meta_o,
    input  wire frame_meta_t                meta_i,
    input  wire parsed_t                    parsed_i,
    input  wire logic                       may_wait_i,
    input  wire core_config_t               config_i,
    input  wire queue_config_t [QUEUES-1:0] queues_i,
    input  wire active_t                    active_i,
    input  wire logic                       heartbeat_i,
    input  wire logic                       time_valid_i,  // frame time goes on without a frame
    input  wire logic [63:0]                time_i,
    output logic [63:0]                     number_o,      // of the last frame taken
    output logic [63:0]                     cause_o,       // of the frame for whose sake chains are handed over
    output logic [63:0]                     now_o,
    output logic                            expired_o,     // the watchdog's limit is passed
    // key
    output logic                            key_valid_o,
    input  wire logic                       key_valid_i,
    input  wire flow_key_t                  key_i,
    input  wire logic [63:0]                hash_i,
    input  wire logic                       from_lower_i,
    // room, entries
    output room_request_t                   room_o,
    input  wire room_answer_t               room_i,
    output logic                            room_hold_o,   // room is not sought now
    output logic                            lookup_busy_o, // nor is the table asked for it
    input  wire logic                       room_quiet_i,  // it is not
    output logic [63:0]                     ahead_o,       // bytes of the records that frames ahead may write
    output place_request_t                  place_o,
    input  wire record_place_t                     place_i,
    input  wire logic [QUEUES-1:0][31:0]    descriptors_free_i,
    input  wire logic [QUEUES-1:0]          records_on_i,
    input  wire logic [QUEUES-1:0][31:0]    records_free_i,
    input  wire logic                       in_flight_full_i,
    input  wire logic                       in_flight_near_i,
    output logic                            in_flight_o,
    output table_request_t                  table_o,
    input  wire table_answer_t              table_i,
    output parse_request_t                  parse_o,
    input  wire parse_answer_t              parse_i,
    output verdict_request_t                verdict_o,
    input  wire verdict_answer_t            verdict_i,     // VERDICT_LATENCY cycles behind each request
    output logic                            verdict_others_o,  // an answer of this cycle is for another's request
    output identity_write_t                 identity_o,
    output life_request_t                   life_o,
    input  wire logic                       life_done_i,
    // judging
    output logic                            classes_valid_o,
    output logic                            classes_bank_o,
    output parsed_t                         lookup_parsed_o,
    input  wire logic                       classes_valid_i,
    input  wire logic [1:0][15:0]           addresses_i,
    input  wire logic [1:0][15:0]           ports_i,
    output frame_t                          scan_frame_o,  // the frame that is scanned
    output parsed_t                         scan_parsed_o,
    output logic                            bank_o,
    output logic                            scan_o,        // start
    output scan_context_t                   scan_context_o,
    input  wire logic                       scanned_i,     // facts are there
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
    output logic                            read_scan_o,   // read the words of scan_frame_o
    // bytes
    output logic                            read_o,        // read the words of fate_meta_o for ...
    output logic                            read_out_o,    // the port, else its record
    input  wire logic                       read_done_i,   // the last was taken
    output write_request_t                  write_o,
    input  wire logic                       write_ready_i,
    output recorded_t                       recorded_o,
    output pin_request_t                    pin_o,         // until taken
    input  wire logic                       pin_ready_i,
    input  wire pin_answer_t                pin_i,
    output count_t                          count_o
);

  localparam int unsigned VERDICT_LATENCY = 3;

  typedef enum logic [1:0] {OTHERS, LOOKUP, JUDGE, VERDICT} owner_e;

  logic hand_scan, hand_judge, hand_verdict, scan_ready, scan_busy, judge_ready, judge_busy, verdict_ready, verdict_busy;
  logic ahead, hand_lookup, lookup_ready, lookup_busy, behind;
  frame_t frame_room, frame_lookup, frame_judge, frame_verdict;
  verdict_request_t verdict_lookup, verdict_judge, verdict_verdict;
  verdict_answer_t answer_judge, answer_verdict;
  owner_e [VERDICT_LATENCY-1:0] owners_q;
  owner_e owner;
  logic fresh;
  count_t count_lookup, count_judge, count_verdict;

  assign verdict_others_o = owners_q[VERDICT_LATENCY-1] == OTHERS;
  // No frame is behind the look-up.
  assign behind = !scan_busy && !judge_busy && !verdict_busy;
  assign drained_o = behind && !lookup_busy;
  assign lookup_busy_o = lookup_busy;
  assign fate_meta_o = frame_verdict.meta;
  always_comb begin
    for (int unsigned b = 0; b < 2; b++) begin
      in_use_o[b] = (lookup_busy && has(frame_lookup, 1'(b))) || (scan_busy && has(scan_frame_o, 1'(b))) ||
                    (judge_busy && has(frame_judge, 1'(b)));
    end
  end
  assign ahead_o = (lookup_busy ? record_bytes(frame_lookup.meta.length_of) : '0) +
                   (scan_busy ? record_bytes(scan_frame_o.meta.length_of) : '0) +
                   (judge_busy ? record_bytes(frame_judge.meta.length_of) : '0) +
                   (verdict_busy ? record_bytes(frame_verdict.meta.length_of) : '0);

  always_comb begin
    count_o = count_lookup | count_judge | count_verdict;
    count_o.amount_of = count_lookup.amount_of & count_judge.amount_of & count_verdict.amount_of;
  end

  // ---- one request of the verdict state per cycle, the oldest frame's first
  always_comb begin
    owner = OTHERS;
    verdict_o = '0;
    if (verdict_verdict.valid) begin
      owner = VERDICT;
      verdict_o = verdict_verdict;
    end else if (verdict_judge.valid) begin
      owner = JUDGE;
      verdict_o = verdict_judge;
    end else if (verdict_lookup.valid) begin
      owner = LOOKUP;
      verdict_o = verdict_lookup;
    end
    answer_judge = verdict_i;
    answer_judge.valid = verdict_i.valid && owners_q[VERDICT_LATENCY-1] == JUDGE;
    answer_verdict = verdict_i;
    answer_verdict.valid = verdict_i.valid && owners_q[VERDICT_LATENCY-1] == VERDICT;
    // An entry that a frame ahead has made begins, in the verdict state, with that frame's verdict.
    fresh = (scan_busy && begins(scan_frame_o, frame_lookup.slot)) ||
            (judge_busy && begins(frame_judge, frame_lookup.slot)) ||
            (ahead && begins(frame_verdict, frame_lookup.slot));
  end

  function automatic logic begins(input frame_t f, input logic [31:0] slot);
    return f.has_slot && f.created && f.slot == slot;
  endfunction

  function automatic logic has(input frame_t f, input logic bank);
    return f.active.valid && f.active.bank == bank;
  endfunction

  always_ff @(posedge clk_i) owners_q <= {owners_q[VERDICT_LATENCY-2:0], owner};

  weir_room_stage room_stage (
      .clk_i           (clk_i),
      .rst_i           (rst_i),
      .go_i            (go_i),
      .done_o          (taken_o),
      .waited_o        (waited_o),
      .drained_i       (drained_o),
      .hold_i          (room_hold_o),
      .ready_i         (lookup_ready),
      .hand_o          (hand_lookup),
      .frame_o         (frame_room),
      .meta_i          (meta_i),
      .parsed_i        (parsed_i),
      .may_wait_i      (may_wait_i),
      .config_i        (config_i),
      .now_i           (now_o),
      .cause_o         (cause_o),
      .key_valid_o     (key_valid_o),
      .key_valid_i     (key_valid_i),
      .key_i           (key_i),
      .hash_i          (hash_i),
      .from_lower_i    (from_lower_i),
      .room_o          (room_o),
      .room_i          (room_i),
      .in_flight_full_i(in_flight_full_i),
      .in_flight_near_i(in_flight_near_i)
  );

  weir_lookup_stage #(
      .QUEUES_LOG2(QUEUES_LOG2),
      .SLOT       (SLOT)
  ) lookup_stage (
      .clk_i           (clk_i),
      .rst_i           (rst_i),
      .ready_o         (lookup_ready),
      .load_i          (hand_lookup),
      .frame_i         (frame_room),
      .parsed_i        (parsed_i),
      .busy_o          (lookup_busy),
      .drained_i       (behind),
      .hold_o          (room_hold_o),
      .room_quiet_i    (room_quiet_i),
      .ready_i         (scan_ready),
      .hand_o          (hand_scan),
      .frame_o         (frame_lookup),
      .parsed_o        (lookup_parsed_o),
      .config_i        (config_i),
      .active_i        (active_i),
      .heartbeat_i     (heartbeat_i),
      .time_valid_i    (time_valid_i),
      .time_i          (time_i),
      .number_o        (number_o),
      .now_o           (now_o),
      .expired_o       (expired_o),
      .records_on_i    (records_on_i),
      .records_free_i  (records_free_i),
      .table_o         (table_o),
      .table_i         (table_i),
      .parse_o         (parse_o),
      .parse_i         (parse_i),
      .verdict_o       (verdict_lookup),
      .granted_i       (owner == LOOKUP),
      .verdict_i       (verdict_i),
      .fresh_i         (fresh),
      .identity_o      (identity_o),
      .life_o          (life_o),
      .life_done_i     (life_done_i),
      .classes_valid_o (classes_valid_o),
      .bank_o          (classes_bank_o),
      .classes_valid_i (classes_valid_i),
      .addresses_i     (addresses_i),
      .ports_i         (ports_i),
      .count_o         (count_lookup)
  );

  weir_scan_stage scan_stage (
      .clk_i         (clk_i),
      .rst_i         (rst_i),
      .ready_o       (scan_ready),
      .load_i        (hand_scan),
      .frame_i       (frame_lookup),
      .parsed_i      (lookup_parsed_o),
      .busy_o        (scan_busy),
      .ready_i       (judge_ready),
      .hand_o        (hand_judge),
      .frame_o       (scan_frame_o),
      .parsed_o      (scan_parsed_o),
      .bank_o        (bank_o),
      .scan_o        (scan_o),
      .scan_context_o(scan_context_o),
      .scanned_i     (scanned_i),
      .messages_i    (messages_i),
      .behind_tail_i (behind_tail_i),
      .alone_i       (alone_i),
      .hit_taken_i   (hit_taken_i),
      .hit_i         (hit_i),
      .facts_valid_o (facts_valid_o),
      .facts_ready_i (facts_ready_i),
      .facts_o       (facts_o),
      .read_o        (read_scan_o)
  );

  weir_judge_stage #(
      .QUEUES_LOG2(QUEUES_LOG2)
  ) judge_stage (
      .clk_i         (clk_i),
      .rst_i         (rst_i),
      .ready_o       (judge_ready),
      .load_i        (hand_judge),
      .frame_i       (scan_frame_o),
      .busy_o        (judge_busy),
      .ready_i       (verdict_ready),
      .hand_o        (hand_verdict),
      .frame_o       (frame_judge),
      .queues_i      (queues_i),
      .ahead_i       (ahead),
      .verdict_o     (verdict_judge),
      .granted_i     (owner == JUDGE),
      .verdict_i     (answer_judge),
      .fired_valid_o (fired_valid_o),
      .fired_ready_i (fired_ready_i),
      .fired_o       (fired_o),
      .judged_valid_i(judged_valid_i),
      .judged_i      (judged_i),
      .count_o       (count_judge)
  );

  weir_verdict_stage #(
      .QUEUES_LOG2(QUEUES_LOG2)
  ) verdict_stage (
      .clk_i             (clk_i),
      .rst_i             (rst_i),
      .ready_o           (verdict_ready),
      .load_i            (hand_verdict),
      .frame_i           (frame_judge),
      .frame_o           (frame_verdict),
      .busy_o            (verdict_busy),
      .ahead_o           (ahead),
      .done_o            (done_o),
      .config_i          (config_i),
      .place_o           (place_o),
      .place_i           (place_i),
      .descriptors_free_i(descriptors_free_i),
      .in_flight_full_i  (in_flight_full_i),
      .in_flight_o       (in_flight_o),
      .verdict_o         (verdict_verdict),
      .verdict_i         (answer_verdict),
      .read_o            (read_o),
      .read_out_o        (read_out_o),
      .read_done_i       (read_done_i),
      .write_o           (write_o),
      .write_ready_i     (write_ready_i),
      .recorded_o        (recorded_o),
      .pin_o             (pin_o),
      .pin_ready_i       (pin_ready_i),
      .pin_i             (pin_i),
      .count_o           (count_verdict)
  );

endmodule

`default_nettype wire
