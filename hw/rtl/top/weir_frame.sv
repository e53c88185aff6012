// The way of one frame, from its queue's room to its fate: the order of hw-sim/src/pipeline/mod.rs, `offer`.
//
//     key ─ room ─ accept ─ sweep ─ look-up ─ follow ─ scan, judge ─ verdict ─ record ─ descriptor ─ fate
//             │          └ classes ───────────────────┘            └ sums to the counters
//             └ waits: nothing was done, the frame is offered again
//
// Function: asks one stage after the other; a frame's fate is known before the next one is looked at, so that what a frame
// finds is what the frames before it left, however full a queue is. Parsing of the frames behind it goes on meanwhile.
// Latency and throughput: one frame at a time; some 105 cycles, and one per word scanned, per record asked, per word written
// and per word sent. Back-pressure: the frame stays where it is.
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
    output logic                            done_o,
    output logic                            waited_o,      // with done_o: it has to be offered again
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
    output logic [63:0]                     cause_o,       // of the frame at hand
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
    input  wire logic [QUEUES-1:0][31:0]    descriptors_free_i,
    input  wire logic [QUEUES-1:0]          records_on_i,
    input  wire logic [QUEUES-1:0][31:0]    records_free_i,
    input  wire logic                       in_flight_full_i,
    output logic                            in_flight_o,
    output table_request_t                  table_o,
    input  wire table_answer_t              table_i,
    output parse_request_t                  parse_o,
    input  wire parse_answer_t              parse_i,
    output verdict_request_t                verdict_o,
    input  wire verdict_answer_t            verdict_i,
    output identity_write_t                 identity_o,
    output life_request_t                   life_o,
    input  wire logic                       life_done_i,
    // judging
    output logic                            classes_valid_o,
    input  wire logic                       classes_valid_i,
    input  wire logic [1:0][15:0]           addresses_i,
    input  wire logic [1:0][15:0]           ports_i,
    output logic                            bank_o,
    output logic                            scan_o,        // start
    output logic                            scan_empty_o,
    output scan_context_t                   scan_context_o,
    output logic                            scan_continues_o,
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
    // bytes
    output logic                            read_o,        // read the frame's words for ...
    output logic [1:0]                      read_for_o,    // 0 the scan, 1 its record, 2 the port
    input  wire logic                       read_done_i,   // the last was taken
    output write_request_t                  write_o,
    input  wire logic                       write_ready_i,
    output recorded_t                       recorded_o,
    output pin_request_t                    pin_o,
    input  wire pin_answer_t                pin_i,
    output count_t                          count_o
);

  typedef enum logic [4:0] {
    IDLE, KEY, ROOM, ACCEPT, SWEEP, SWEPT, LONG, LONG_MISS, LOOKUP, ENDED, PEEK, REPORT, FOLLOW, DECIDE, MISS,
    CLASSES, FACTS, SCAN, FIRED, JUDGE, VERDICT, RECORD, DATA, DESCRIPTOR, PIN, FATE, EGRESS, DONE, WAITED
  } state_e;

  // Why a frame neither passes nor goes to the host.
  typedef enum logic [2:0] {FATE_FRAME, DROP_BLOCKED, DROP_LONG, BYPASS_FLOW, FAIL_TABLES} cause_e;

  state_e state_q;
  cause_e cause_q;
  frame_t f_q;
  logic [QUEUES_LOG2-1:0] queue;
  logic [63:0] time_of;
  logic sent_q, payload, trouble, room, can_sweep, uninspected, open_q, is_long;
  logic [1:0] ended_q;
  logic [1:0][31:0] ended_slot_q;
  logic [7:0] swept_q;
  logic [SLOT-4:0] bucket_q;
  logic [2:0] way;
  scan_total_t total_q;
  logic [31:0] hits_q;
  localparam logic [3:0] SUMMED = '1;
  logic [3:0] step_q;  // of the sums
  logic classed_q;     // classes are there
  logic [63:0] texts, payload_bytes, record_bytes;
  // watchdog
  logic [63:0] since_q, frames_q;
  logic has_since_q, watched, over_frames, over_time;

  assign queue = f_q.queue_of[QUEUES_LOG2-1:0];
  assign time_of = greatest(now_o, meta_i.time_of);
  assign payload = f_q.keyed && parsed_i.payload_end > parsed_i.payload_start;
  assign payload_bytes = payload ? 64'(parsed_i.payload_end) - 64'(parsed_i.payload_start) : '0;
  assign record_bytes = (64'(meta_i.length_of) + 64'd127) & ~64'd63;
  assign trouble = f_q.judged.first != RECORD_NONE;
  assign room = descriptors_free_i[queue] != '0 && !in_flight_full_i;
  assign is_long = meta_i.length_of > 20'(FRAME_LENGTH_MAX);
  assign uninspected = !f_q.active.valid || expired_o;
  assign bank_o = f_q.active.bank;
  assign done_o = (state_q == DONE && step_q == SUMMED) || state_q == WAITED;
  assign waited_o = state_q == WAITED;
  assign scan_empty_o = !payload;
  assign facts_o = facts_of(parsed_i, f_q.staged, f_q.keyed, bank_o,
                            f_q.has_slot ? f_q.verdict.scopes : 8'hff,
                            f_q.has_slot ? f_q.verdict.told_class : 6'd0, addresses_i, ports_i);
  assign texts = (f_q.staged.may_continue ? behind_tail_i : '0) |
                 (f_q.staged.continues ? '0 : alone_i);
  assign scan_continues_o = f_q.staged.continues;
  assign fired_o = f_q.staged.guards | (payload ? texts | messages_i : '0) |
                   history_guards(f_q, meta_i.length_of, queues_i[queue].history_size);
  assign scan_context_o = '{
      bank: bank_o,
      start: parsed_i.payload_start,
      last: parsed_i.payload_end,
      tail_count: f_q.staged.tail.count,
      tail: f_q.staged.tail.bytes
  };
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

  always_comb begin
    // As many entries of a bucket can end, and two for the frame itself.
    can_sweep = 1'b1;
    for (int unsigned q = 0; q < QUEUES; q++) begin
      if (records_on_i[q] && records_free_i[q] < 32'd10) can_sweep = 1'b0;
    end
    way = '0;
    for (int unsigned w = 8; w > 0; w--) if (swept_q[w-1]) way = 3'(w - 1);
    watched = config_i.watchdog_frames != '0 || config_i.watchdog_time != '0;
    over_frames = config_i.watchdog_frames != '0 && frames_q + 64'd1 > 64'(config_i.watchdog_frames);
    over_time = config_i.watchdog_time != '0 && has_since_q && time_of > since_q &&
                time_of - since_q > config_i.watchdog_time;
  end

  // ---- requests
  always_comb begin
    key_valid_o = 1'b0;
    room_o = '0;
    table_o = '0;
    parse_o = '0;
    verdict_o = '0;
    identity_o = '0;
    life_o = '0;
    write_o = '0;
    pin_o = '0;
    classes_valid_o = 1'b0;
    facts_valid_o = 1'b0;
    fired_valid_o = 1'b0;
    scan_o = 1'b0;
    read_o = 1'b0;
    read_for_o = '0;
    count_o = '0;
    count_o.amount_of = '1;
    unique case (state_q)
      KEY: key_valid_o = !sent_q && parsed_i.keyed && parsed_i.has_ends;
      ROOM: begin
        room_o.valid = !sent_q && !(in_flight_full_i && may_wait_i);
        room_o.may_wait = may_wait_i;
        room_o.queue_of = f_q.queue_of;
        room_o.length_of = meta_i.length_of;
        room_o.now = time_of;
      end
      ACCEPT: begin
        count_o.more[COUNTER_RECEIVED_FRAMES] = 1'b1;
        count_o.amount_of = 7'(COUNTER_RECEIVED_BYTES);
        count_o.amount = 64'(meta_i.length_of);
        count_o.more[COUNTER_WATCHDOG_EXPIRED] = watched && !expired_o && (over_frames || over_time);
      end
      SWEEP: begin
        // Classes are searched for meanwhile.
        classes_valid_o = !sent_q;
        table_o.valid = !sent_q && can_sweep;
        table_o.op = TABLE_SWEEP;
        table_o.slot = 32'({bucket_q, 3'd0});
        table_o.now = now_o;
      end
      SWEPT: begin
        life_o.valid = !sent_q && swept_q != '0;
        life_o.op = LIFE_END;
        life_o.kind = 8'(FLOW_RECORD_KIND_AGED);
        life_o.slot = 32'({bucket_q, way});
      end
      LONG, LOOKUP: begin
        table_o.valid = !sent_q && f_q.keyed;
        table_o.op = state_q == LONG ? TABLE_FIND : TABLE_KEY;
        table_o.key = f_q.key;
        table_o.hash = f_q.hash;
        table_o.now = now_o;
        table_o.expiry = expiry_of(config_i, f_q.key.protocol, now_o);
        if (state_q == LOOKUP && table_i.valid && !table_i.live) begin
          count_o.more[COUNTER_FLOW_TABLE_FULL] = 1'b1;
        end
      end
      LONG_MISS, MISS: begin
        verdict_o.valid = !sent_q && f_q.has_slot;
        verdict_o.slot = f_q.slot;
        verdict_o.beat.op = VERDICT_FRAME;
        verdict_o.beat.created = f_q.created;
        verdict_o.beat.number = meta_i.number;
      end
      ENDED: begin
        life_o.valid = !sent_q && ended_q != '0;
        life_o.op = LIFE_END;
        life_o.kind = 8'(FLOW_RECORD_KIND_AGED);
        life_o.slot = ended_q[0] ? ended_slot_q[0] : ended_slot_q[1];
      end
      PEEK: begin
        parse_o.valid = !sent_q;
        parse_o.peek = 1'b1;
        parse_o.slot = f_q.slot;
      end
      REPORT: begin
        life_o.valid = !sent_q;
        life_o.op = LIFE_REPORT;
        life_o.kind = 8'(FLOW_RECORD_KIND_REPORT);
        life_o.slot = f_q.slot;
      end
      FOLLOW: begin
        parse_o.valid = !sent_q;
        parse_o.slot = f_q.slot;
        parse_o.arrival = '{
            created: f_q.created,
            reported: f_q.reported,
            from_lower: f_q.from_lower,
            number: meta_i.number,
            now: now_o,
            parsed: parsed_i
        };
        // The state of the other half, only read.
        verdict_o.valid = !sent_q;
        verdict_o.slot = f_q.slot;
        verdict_o.beat.op = VERDICT_HANDOVER;
        verdict_o.beat.stale = 1'b1;
        if (f_q.created && !sent_q) begin
          identity_o.valid = 1'b1;
          identity_o.slot = f_q.slot;
          identity_o.identity = '{key: f_q.key, generation_of: f_q.generation_of, queue_of: f_q.queue_of};
          count_o.more[COUNTER_FLOWS_CREATED] = 1'b1;
          count_o.more[COUNTER_FLOWS_LIVE] = 1'b1;
        end
        if (f_q.created && parse_i.valid) begin
          count_o.more[COUNTER_FLOWS_MIDSTREAM] = parse_i.state.midstream;
        end
      end
      FACTS: begin
        facts_valid_o = 1'b1;
        scan_o = facts_ready_i;
        read_o = facts_ready_i && payload;
      end
      FIRED: fired_valid_o = 1'b1;
      JUDGE:
      if (judged_valid_i) begin
        count_o.guards = judged_i.heard;
        count_o.more[COUNTER_FRAMES_LITERAL] = judged_i.by_literal;
        count_o.more[COUNTER_FRAMES_GUARD] = judged_i.by_guard;
        count_o.more[COUNTER_FRAMES_HEADER] = judged_i.by_header;
      end
      VERDICT: begin
        verdict_o.valid = !sent_q && f_q.has_slot;
        verdict_o.slot = f_q.slot;
        verdict_o.beat.op = VERDICT_FRAME;
        verdict_o.beat.created = f_q.created;
        verdict_o.beat.inspected = 1'b1;
        verdict_o.beat.trouble = trouble;
        verdict_o.beat.placed = f_q.placed;
        verdict_o.beat.room = room;
        verdict_o.beat.number = meta_i.number;
        verdict_o.beat.position = f_q.start;
      end
      RECORD: begin
        write_o.valid = f_q.out.record_of;
        write_o.kind = WRITE_RECORD;
        write_o.queue_of = f_q.queue_of;
        write_o.body = 1024'(header_of(f_q, meta_i, now_o));
        write_o.length_of = meta_i.length_of;
        read_o = f_q.out.record_of && write_ready_i;
        read_for_o = 2'd1;
        if (f_q.out.record_of && write_ready_i) begin
          count_o.more[COUNTER_HISTORY_FRAMES] = 1'b1;
          count_o.amount_of = 7'(COUNTER_HISTORY_BYTES);
          count_o.amount = record_bytes;
        end
        count_o.more[COUNTER_HISTORY_LOST] = f_q.out.lost;
        count_o.more[COUNTER_DIVERT_NEW] = f_q.out.newly && (write_ready_i || !f_q.out.record_of);
      end
      DESCRIPTOR: begin
        write_o.valid = f_q.out.fate == FATE_DIVERT;
        write_o.kind = WRITE_DESCRIPTOR;
        write_o.queue_of = f_q.queue_of;
        write_o.body = 1024'(descriptor_of(f_q, meta_i));
        if (in_flight_o) begin
          count_o.more[COUNTER_DESCRIPTORS] = 1'b1;
          count_o.more[COUNTER_DESCRIPTORS_FRAME] = 1'b1;
          count_o.more[COUNTER_DIVERTED_FRAMES] = 1'b1;
          count_o.more[COUNTER_IN_FLIGHT] = 1'b1;
          count_o.more[COUNTER_FRAMES_STICKY] = !trouble;
          count_o.amount_of = 7'(COUNTER_DIVERTED_BYTES);
          count_o.amount = 64'(meta_i.length_of);
        end
      end
      PIN: begin
        pin_o.valid = !sent_q;
        pin_o.push = 1'b1;
        pin_o.queue_of = f_q.queue_of;
        pin_o.oldest = oldest_of(f_q);
        if (!sent_q) begin
          count_o.amount_of = 7'(COUNTER_CHAIN_FRAMES);
          count_o.amount = 64'(f_q.out.chain.count);
        end
      end
      FATE: begin
        read_o = open_q;
        read_for_o = 2'd2;
        count_o.amount = 64'(meta_i.length_of);
        if (!open_q) begin
          count_o.amount_of = 7'(COUNTER_DROPPED_BYTES);
          count_o.more[COUNTER_DROPPED_FRAMES] = 1'b1;
          unique case (cause_q)
            DROP_BLOCKED: count_o.more[COUNTER_DROPPED_FLOW_BLOCKED] = 1'b1;
            DROP_LONG: count_o.more[COUNTER_DROPPED_TOO_LONG] = 1'b1;
            FAIL_TABLES: count_o.more[COUNTER_DROPPED_FAIL_CLOSED] = 1'b1;
            default: count_o.more[COUNTER_DROPPED_RING_FULL] = 1'b1;
          endcase
        end else begin
          count_o.more[COUNTER_TRANSMITTED_FRAMES] = 1'b1;
          if (cause_q == FATE_FRAME && f_q.out.fate == FATE_PASS) begin
            count_o.amount_of = 7'(COUNTER_PASSED_BYTES);
            count_o.more[COUNTER_PASSED_FRAMES] = 1'b1;
          end else begin
            count_o.amount_of = 7'(COUNTER_BYPASSED_BYTES);
            count_o.more[COUNTER_BYPASSED_FRAMES] = 1'b1;
            unique case (cause_q)
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
      4'd2: {count_o.also_of, count_o.also} = {7'(COUNTER_PAYLOAD_BYTES), payload_bytes};
      4'd3: {count_o.also_of, count_o.also} = {7'(COUNTER_HITS), 64'(hits_q)};
      4'd4: begin
        count_o.also_of = 7'(COUNTER_CANDIDATES);
        for (int unsigned n = 0; n < LENGTHS; n++) begin
          count_o.also = count_o.also + 64'(total_q.candidates[n]);
        end
      end
      default:
      if (step_q != SUMMED) begin
        count_o.also_of = 7'(COUNTER_CANDIDATES_4) + 7'(step_q) - 7'd5;
        count_o.also = 64'(total_q.candidates[3'(step_q-4'd5)]);
      end
    endcase
  end

  // ---- steps
  always_ff @(posedge clk_i) begin
    sent_q <= 1'b1;
    unique case (state_q)
      IDLE: begin
        sent_q <= 1'b0;
        f_q <= '0;
        cause_q <= FATE_FRAME;
        if (go_i) state_q <= KEY;
      end
      KEY: begin
        f_q.keyed <= parsed_i.keyed && parsed_i.has_ends;
        f_q.key <= key_i;
        f_q.hash <= hash_i;
        f_q.from_lower <= from_lower_i;
        f_q.queue_of <= hash_i[5:0] & config_i.queue_mask;
        cause_o <= meta_i.number;
        if (!(parsed_i.keyed && parsed_i.has_ends)) f_q.queue_of <= '0;
        if (key_valid_i || !(parsed_i.keyed && parsed_i.has_ends)) begin
          sent_q  <= 1'b0;
          state_q <= ROOM;
        end
      end
      ROOM: begin
        f_q.placed <= room_i.placed;
        f_q.start <= room_i.start;
        f_q.last <= room_i.last;
        if (in_flight_full_i && may_wait_i) state_q <= WAITED;
        else if (room_i.valid) state_q <= room_i.waits ? WAITED : ACCEPT;
      end
      ACCEPT: begin
        sent_q <= 1'b0;
        number_o <= meta_i.number;
        now_o <= time_of;
        f_q.active <= active_i;
        if (watched) begin
          if (!has_since_q) since_q <= time_of;
          has_since_q <= 1'b1;
          frames_q <= frames_q + 64'd1;
          if (over_frames || over_time) expired_o <= 1'b1;
        end
        state_q <= SWEEP;
      end
      SWEEP: begin
        swept_q <= table_i.swept;
        if (!can_sweep || table_i.valid) begin
          sent_q  <= 1'b0;
          state_q <= SWEPT;
          if (!table_i.valid) swept_q <= '0;
        end
      end
      SWEPT:
      if (swept_q == '0) begin
        bucket_q <= bucket_q + (SLOT - 3)'(1);
        sent_q <= 1'b0;
        state_q <= is_long ? LONG : LOOKUP;
      end else if (life_done_i) begin
        sent_q <= 1'b0;
        swept_q[way] <= 1'b0;
      end
      LONG: begin
        f_q.has_slot <= table_i.live;
        f_q.slot <= table_i.slot;
        cause_q <= DROP_LONG;
        if (table_i.valid || !f_q.keyed) begin
          sent_q  <= 1'b0;
          state_q <= f_q.keyed && table_i.live ? LONG_MISS : FATE;
        end
        open_q <= 1'b0;
      end
      LONG_MISS: if (verdict_i.valid) state_q <= FATE;
      LOOKUP: begin
        f_q.has_slot <= f_q.keyed && table_i.live;
        f_q.created <= f_q.keyed && table_i.live && table_i.created;
        f_q.slot <= table_i.slot;
        f_q.generation_of <= table_i.generation_of;
        ended_q <= f_q.keyed ? table_i.ended : '0;
        ended_slot_q <= table_i.ended_slot;
        f_q.staged <= flowless(parsed_i.guards |
                               (f_q.keyed && !table_i.live ? 64'd1 << GUARD_FLOW_TABLE_FULL : '0));
        if (table_i.valid || !f_q.keyed) begin
          sent_q  <= 1'b0;
          state_q <= ENDED;
        end
      end
      ENDED:
      if (ended_q == '0) begin
        sent_q <= 1'b0;
        if (!f_q.has_slot) state_q <= DECIDE;
        else state_q <= !f_q.created && config_i.report_interval != '0 ? PEEK : FOLLOW;
      end else if (life_done_i) begin
        sent_q <= 1'b0;
        if (ended_q[0]) ended_q[0] <= 1'b0;
        else ended_q[1] <= 1'b0;
      end
      PEEK:
      if (parse_i.valid) begin
        sent_q <= 1'b0;
        state_q <= now_o > parse_i.state.reported &&
                   now_o - parse_i.state.reported >= config_i.report_interval ? REPORT : FOLLOW;
      end
      REPORT: begin
        f_q.reported <= 1'b1;
        if (life_done_i) begin
          sent_q  <= 1'b0;
          state_q <= FOLLOW;
        end
      end
      FOLLOW: begin
        f_q.staged <= parse_i.staged;
        f_q.flow <= parse_i.state;
        f_q.verdict <= f_q.created ? FRESH : verdict_i.state;
        if (parse_i.valid) state_q <= DECIDE;
      end
      DECIDE: begin
        sent_q <= 1'b0;
        open_q <= 1'b0;
        if (f_q.has_slot && f_q.verdict.blocked) begin
          cause_q <= DROP_BLOCKED;
          state_q <= FATE;
        end else if (uninspected) begin
          cause_q <= FAIL_TABLES;
          open_q  <= !config_i.fail_closed;
          state_q <= f_q.has_slot ? MISS : FATE;
        end else if (f_q.has_slot && f_q.verdict.bypassed) begin
          cause_q <= BYPASS_FLOW;
          open_q  <= 1'b1;
          state_q <= FATE;
        end else begin
          state_q <= CLASSES;
        end
      end
      MISS: if (verdict_i.valid) state_q <= FATE;
      CLASSES: if (classed_q) state_q <= FACTS;
      FACTS: begin
        total_q <= '0;
        hits_q  <= '0;
        if (facts_ready_i) state_q <= SCAN;
      end
      SCAN: if (scanned_i) state_q <= FIRED;
      FIRED: if (fired_ready_i) state_q <= JUDGE;
      JUDGE: begin
        f_q.judged <= judged_i;
        if (judged_valid_i) begin
          step_q  <= '0;
          sent_q  <= 1'b0;
          state_q <= VERDICT;
        end
      end
      VERDICT: begin
        f_q.out <= verdict_i.out;
        if (!f_q.has_slot) begin
          f_q.out <= '0;
          f_q.out.fate <= !trouble ? FATE_PASS : room ? FATE_DIVERT : FATE_FULL;
          f_q.out.record_of <= trouble && f_q.placed;
          f_q.out.lost <= trouble && !f_q.placed;
        end
        if (verdict_i.valid || !f_q.has_slot) state_q <= RECORD;
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
      PIN: if (pin_i.valid || oldest_of(f_q) == POSITION_NONE) state_q <= DONE;
      FATE: state_q <= open_q ? EGRESS : DONE;
      EGRESS: if (read_done_i) state_q <= DONE;
      DONE: if (step_q == SUMMED) state_q <= IDLE;
      default: state_q <= IDLE;
    endcase
    if (step_q != SUMMED) step_q <= step_q == (payload ? 4'd9 : 4'd0) ? SUMMED : step_q + 4'd1;
    if (hit_taken_i) begin
      if (hit_i.ending) total_q <= hit_i.total;
      else hits_q <= hits_q + 32'd1;
    end
    if (state_q == ACCEPT || classes_valid_o) classed_q <= 1'b0;
    else if (classes_valid_i) classed_q <= 1'b1;
    if (time_valid_i) now_o <= greatest(now_o, time_i);
    if (heartbeat_i) begin
      frames_q <= '0;
      since_q <= now_o;
      has_since_q <= now_o != '0;
      expired_o <= 1'b0;
    end
    if (rst_i) begin
      state_q <= IDLE;
      step_q <= SUMMED;
      number_o <= '0;
      cause_o <= '0;
      now_o <= '0;
      bucket_q <= '0;
      frames_q <= '0;
      has_since_q <= 1'b0;
      expired_o <= 1'b0;
    end
  end

endmodule

`default_nettype wire
