// A frame's first stage: is there room, whose frame is it, what does its flow's entry say?
//
//     key ─ room ─ accept ─ look-up ─ follow ─ decide ─ hand on
//            │        └ classes ────────────────┘ └ sweep
//            └ waits: nothing was done, the frame is offered again
//
// Function: the order of hw-sim/src/pipeline/mod.rs, `offer`, up to judging. Frames ahead may still be judged and written;
// what depends on them waits for drained_i: a frame that may find no room (weir_room), entries that end and reports, for
// they tell the other half of an entry. Of the verdict state only what commands alone change is read here. The background
// sweep runs while the next stage is busy, and at the latest with every eighth frame. Latency: some 35 cycles. Throughput:
// one frame at a time. Back-pressure: the frame stays where it is.
`default_nettype none

module weir_lookup_stage
  import weir_contract_pkg::*;
  import weir_parse_pkg::*;
  import weir_flow_pkg::*;
  import weir_verdict_pkg::*;
  import weir_core_pkg::*;
  import weir_frame_pkg::*;
#(
    parameter  int unsigned QUEUES_LOG2 = 1,
    parameter  int unsigned SLOT = 6,         // log2 of the flow entries
    localparam int unsigned QUEUES = 1 << QUEUES_LOG2
) (
    input  wire logic                    clk_i,
    input  wire logic                    rst_i,
    input  wire logic                    go_i,          // take the frame that stands there
    output logic                         done_o,
    output logic                         waited_o,      // with done_o: it has to be offered again
    input  wire logic                    drained_i,     // no frame is in a stage behind this one
    input  wire logic                    ready_i,       // the next stage takes a frame
    output logic                         hand_o,        // it gets one: frame_o
    output frame_t                       frame_o,
    input  wire frame_meta_t             meta_i,
    input  wire parsed_t                 parsed_i,      // both stay until done_o
    input  wire logic                    may_wait_i,
    input  wire core_config_t            config_i,
    input  wire active_t                 active_i,
    input  wire logic                    heartbeat_i,
    input  wire logic                    time_valid_i,  // frame time goes on without a frame
    input  wire logic [63:0]             time_i,
    output logic [63:0]                  number_o,      // of the last frame taken
    output logic [63:0]                  cause_o,       // of the frame at hand
    output logic [63:0]                  now_o,
    output logic                         expired_o,     // the watchdog's limit is passed
    output logic                         key_valid_o,
    input  wire logic                    key_valid_i,
    input  wire flow_key_t               key_i,
    input  wire logic [63:0]             hash_i,
    input  wire logic                    from_lower_i,
    output room_request_t                room_o,
    input  wire room_answer_t            room_i,
    input  wire logic [QUEUES-1:0]       records_on_i,
    input  wire logic [QUEUES-1:0][31:0] records_free_i,
    input  wire logic                    in_flight_full_i,
    input  wire logic                    in_flight_near_i,  // the frames ahead may fill it
    output table_request_t               table_o,
    input  wire table_answer_t           table_i,
    output parse_request_t               parse_o,
    input  wire parse_answer_t           parse_i,
    output verdict_request_t             verdict_o,     // until granted
    input  wire logic                    granted_i,
    input  wire verdict_answer_t         verdict_i,
    input  wire logic                    fresh_i,       // a frame ahead made entry frame_o.slot and has no verdict yet
    output identity_write_t              identity_o,
    output life_request_t                life_o,
    input  wire logic                    life_done_i,
    output logic                         classes_valid_o,
    output logic                         bank_o,        // that the classes are of
    input  wire logic                    classes_valid_i,
    input  wire logic [1:0][15:0]        addresses_i,
    input  wire logic [1:0][15:0]        ports_i,
    output count_t                       count_o
);

  typedef enum logic [3:0] {
    IDLE, KEY, ROOM, ACCEPT, LONG, LOOKUP, ENDED, PEEK, REPORT, FOLLOW, DECIDE, SWEEP, SWEPT, HAND, WAITED
  } state_e;

  state_e state_q;
  frame_t f_q;
  logic [63:0] time_of;
  logic sent_q, keyed, can_sweep, uninspected, near, fresh_q;
  logic classes_q, classed_q;  // classes are asked for, are there
  logic [1:0] ended_q;
  logic [1:0][31:0] ended_slot_q;
  logic [7:0] swept_q;
  logic [2:0] unswept_q;       // frames since the last sweep
  logic [SLOT-4:0] bucket_q;
  logic [2:0] way;
  // watchdog
  logic [63:0] since_q, frames_q;
  logic has_since_q, watched, over_frames, over_time;

  assign time_of = greatest(now_o, meta_i.time_of);
  assign keyed = parsed_i.keyed && parsed_i.has_ends;
  assign uninspected = !f_q.active.valid || expired_o;
  assign near = in_flight_near_i && !drained_i;
  assign hand_o = state_q == HAND && classed_q && ready_i;
  assign done_o = hand_o || state_q == WAITED;
  assign waited_o = state_q == WAITED;
  assign bank_o = f_q.active.bank;
  assign classes_valid_o = classes_q;

  always_comb begin
    frame_o = f_q;
    frame_o.addresses = addresses_i;
    frame_o.ports = ports_i;
  end

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
    count_o = '0;
    count_o.amount_of = '1;
    unique case (state_q)
      KEY: key_valid_o = !sent_q && keyed;
      ROOM: begin
        room_o.valid = !sent_q && !near && !(in_flight_full_i && may_wait_i);
        room_o.may_wait = may_wait_i;
        room_o.queue_of = f_q.queue_of;
        room_o.length_of = meta_i.length_of;
        room_o.now = time_of;
      end
      ACCEPT: begin
        count_o.more[COUNTER_RECEIVED_FRAMES] = 1'b1;
        count_o.received = 64'(meta_i.length_of);
        count_o.more[COUNTER_WATCHDOG_EXPIRED] = watched && !expired_o && (over_frames || over_time);
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
      ENDED: begin
        life_o.valid = !sent_q && drained_i && ended_q != '0;
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
        life_o.valid = !sent_q && drained_i;
        life_o.op = LIFE_REPORT;
        life_o.kind = 8'(FLOW_RECORD_KIND_REPORT);
        life_o.slot = f_q.slot;
      end
      FOLLOW: begin
        parse_o.valid = !sent_q && granted_i;
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
        if (f_q.created && parse_o.valid) begin
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
      SWEEP: begin
        table_o.valid = !sent_q;
        table_o.op = TABLE_SWEEP;
        table_o.slot = 32'({bucket_q, 3'd0});
        table_o.now = now_o;
      end
      SWEPT: begin
        life_o.valid = !sent_q && drained_i && swept_q != '0;
        life_o.op = LIFE_END;
        life_o.kind = 8'(FLOW_RECORD_KIND_AGED);
        life_o.slot = 32'({bucket_q, way});
      end
      default: ;
    endcase
  end

  // ---- steps
  always_ff @(posedge clk_i) begin
    sent_q <= 1'b1;
    classes_q <= state_q == ACCEPT;
    unique case (state_q)
      IDLE: begin
        sent_q <= 1'b0;
        f_q <= '0;
        f_q.cause <= FATE_FRAME;
        if (go_i) state_q <= KEY;
      end
      KEY: begin
        f_q.meta <= meta_i;
        f_q.keyed <= keyed;
        f_q.payload <= keyed && parsed_i.payload_end > parsed_i.payload_start;
        f_q.payload_bytes <= 21'(parsed_i.payload_end) - 21'(parsed_i.payload_start);
        f_q.key <= key_i;
        f_q.hash <= hash_i;
        f_q.from_lower <= from_lower_i;
        f_q.queue_of <= hash_i[5:0] & config_i.queue_mask;
        cause_o <= meta_i.number;
        if (!keyed) f_q.queue_of <= '0;
        if (key_valid_i || !keyed) begin
          sent_q  <= 1'b0;
          state_q <= ROOM;
        end
      end
      ROOM: begin
        f_q.placed <= room_i.placed;
        if (!sent_q && near) sent_q <= 1'b0;
        else if (!sent_q && in_flight_full_i && may_wait_i) state_q <= WAITED;
        else if (room_i.valid) state_q <= room_i.waits ? WAITED : ACCEPT;
      end
      ACCEPT: begin
        sent_q <= 1'b0;
        number_o <= meta_i.number;
        now_o <= time_of;
        f_q.now <= time_of;
        f_q.active <= active_i;
        if (watched) begin
          if (!has_since_q) since_q <= time_of;
          has_since_q <= 1'b1;
          frames_q <= frames_q + 64'd1;
          if (over_frames || over_time) expired_o <= 1'b1;
        end
        state_q <= meta_i.length_of > 20'(FRAME_LENGTH_MAX) ? LONG : LOOKUP;
      end
      LONG: begin
        f_q.has_slot <= f_q.keyed && table_i.live;
        f_q.slot <= table_i.slot;
        f_q.cause <= DROP_LONG;
        if (table_i.valid || !f_q.keyed) state_q <= HAND;
      end
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
      end else if (!sent_q && !drained_i) begin
        sent_q <= 1'b0;
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
        end else if (!sent_q && !drained_i) begin
          sent_q <= 1'b0;
        end
      end
      FOLLOW: begin
        if (!sent_q) begin
          fresh_q <= fresh_i;
          if (!granted_i) sent_q <= 1'b0;
        end
        f_q.staged <= parse_i.staged;
        f_q.flow <= parse_i.state;
        f_q.verdict <= f_q.created || fresh_q ? FRESH : verdict_i.state;
        if (parse_i.valid) state_q <= DECIDE;
      end
      DECIDE: begin
        sent_q <= 1'b0;
        if (f_q.has_slot && f_q.verdict.blocked) begin
          f_q.cause <= DROP_BLOCKED;
        end else if (uninspected) begin
          f_q.cause <= FAIL_TABLES;
          f_q.open  <= !config_i.fail_closed;
        end else if (f_q.has_slot && f_q.verdict.bypassed) begin
          f_q.cause <= BYPASS_FLOW;
          f_q.open  <= 1'b1;
        end
        unswept_q <= unswept_q + 3'(unswept_q != '1);
        state_q <= can_sweep && (!ready_i || unswept_q == '1) ? SWEEP : HAND;
      end
      SWEEP: begin
        swept_q <= table_i.swept;
        unswept_q <= '0;
        if (table_i.valid) begin
          sent_q  <= 1'b0;
          state_q <= SWEPT;
        end
      end
      SWEPT:
      if (swept_q == '0) begin
        bucket_q <= bucket_q + (SLOT - 3)'(1);
        state_q  <= HAND;
      end else if (life_done_i) begin
        sent_q <= 1'b0;
        swept_q[way] <= 1'b0;
      end else if (!sent_q && !drained_i) begin
        sent_q <= 1'b0;
      end
      HAND: if (hand_o) state_q <= IDLE;
      default: state_q <= IDLE;
    endcase
    if (state_q == ACCEPT || classes_q) classed_q <= 1'b0;
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
      number_o <= '0;
      cause_o <= '0;
      now_o <= '0;
      unswept_q <= '0;
      bucket_q <= '0;
      frames_q <= '0;
      has_since_q <= 1'b0;
      expired_o <= 1'b0;
    end
  end

endmodule

`default_nettype wire
