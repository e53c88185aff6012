// A frame's second stage: it is accepted; whose frame is it, what does its flow's entry say?
//
//     accept ─ look-up ─ follow ─ decide ─ hand on
//        └ classes ────────────────┘ └ sweep
//
// Function: the order of hw-sim/src/pipeline/mod.rs, `offer`, up to judging, for a frame that has room. Frames ahead may still
// be judged and written; what depends on them waits for drained_i: entries that end and reports, for they tell the other half
// of an entry, and the host. Room is not sought meanwhile (hold_o, room_quiet_i). Of the verdict state only what commands
// alone change is read here. The background sweep runs while the next stage is busy, and at the latest with every eighth
// frame. Latency: some 20 cycles. Throughput: one frame at a time. Back-pressure: ready_o.
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
    output logic                         ready_o,
    input  wire logic                    load_i,        // while ready_o
    input  wire frame_t                  frame_i,
    input  wire parsed_t                 parsed_i,
    output logic                         busy_o,
    input  wire logic                    drained_i,     // no frame is in a stage behind this one
    output logic                         hold_o,        // entries end or are reported
    input  wire logic                    room_quiet_i,  // nobody seeks room, nor does while hold_o
    input  wire logic                    ready_i,       // the next stage takes a frame
    output logic                         hand_o,        // it gets one: frame_o
    output frame_t                       frame_o,
    output parsed_t                      parsed_o,
    input  wire core_config_t            config_i,
    input  wire active_t                 active_i,
    input  wire logic                    heartbeat_i,
    input  wire logic                    time_valid_i,  // frame time goes on without a frame
    input  wire logic [63:0]             time_i,
    output logic [63:0]                  number_o,      // of the last frame taken
    output logic [63:0]                  now_o,
    output logic                         expired_o,     // the watchdog's limit is passed
    input  wire logic [QUEUES-1:0]       records_on_i,
    input  wire logic [QUEUES-1:0][31:0] records_free_i,
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
    IDLE, ACCEPT, LONG, LOOKUP, ENDED, PEEK, REPORT, FOLLOW, DECIDE, SWEEP, SWEPT, HAND
  } state_e;

  state_e state_q;
  frame_t f_q;
  parsed_t parsed_q;
  logic [63:0] time_of;
  logic sent_q, can_sweep, uninspected, fresh_q, may_tell;
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

  assign time_of = greatest(now_o, f_q.meta.time_of);
  assign uninspected = !f_q.active.valid || expired_o;
  assign may_tell = drained_i && room_quiet_i;
  assign hold_o = state_q inside {ENDED, REPORT} || (state_q == SWEPT && swept_q != '0);
  assign busy_o = state_q != IDLE;
  assign ready_o = state_q == IDLE || hand_o;
  assign parsed_o = parsed_q;
  assign hand_o = state_q == HAND && classed_q && ready_i;
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
    table_o = '0;
    parse_o = '0;
    verdict_o = '0;
    identity_o = '0;
    life_o = '0;
    count_o = '0;
    count_o.amount_of = '1;
    unique case (state_q)
      ACCEPT: begin
        count_o.more[COUNTER_RECEIVED_FRAMES] = 1'b1;
        count_o.received = 64'(f_q.meta.length_of);
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
        life_o.valid = !sent_q && may_tell && ended_q != '0;
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
        life_o.valid = !sent_q && may_tell;
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
            number: f_q.meta.number,
            now: now_o,
            parsed: parsed_q
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
        life_o.valid = !sent_q && may_tell && swept_q != '0;
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
      ACCEPT: begin
        sent_q <= 1'b0;
        number_o <= f_q.meta.number;
        now_o <= time_of;
        f_q.now <= time_of;
        f_q.active <= active_i;
        if (watched) begin
          if (!has_since_q) since_q <= time_of;
          has_since_q <= 1'b1;
          frames_q <= frames_q + 64'd1;
          if (over_frames || over_time) expired_o <= 1'b1;
        end
        state_q <= f_q.meta.length_of > 20'(FRAME_LENGTH_MAX) ? LONG : LOOKUP;
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
        f_q.staged <= flowless(parsed_q.guards |
                               (f_q.keyed && !table_i.live ? 64'd1 << GUARD_FLOW_TABLE_FULL : '0));
        if (table_i.valid || !f_q.keyed) begin
          sent_q <= 1'b0;
          if (f_q.keyed && table_i.ended != '0) state_q <= ENDED;
          else if (!f_q.keyed || !table_i.live) state_q <= DECIDE;
          else state_q <= !table_i.created && config_i.report_interval != '0 ? PEEK : FOLLOW;
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
      end else if (!sent_q && !may_tell) begin
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
        end else if (!sent_q && !may_tell) begin
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
      end else if (!sent_q && !may_tell) begin
        sent_q <= 1'b0;
      end
      default: if (hand_o) state_q <= IDLE;
    endcase
    if (load_i) begin
      f_q <= frame_i;
      parsed_q <= parsed_i;
      state_q <= ACCEPT;
    end
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
