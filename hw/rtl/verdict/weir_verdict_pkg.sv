// Types and pure functions of a flow entry's verdict state: `VerdictState` of hw-sim/src/flow.rs in hardware.
`default_nettype none

package weir_verdict_pkg;
  import weir_contract_pkg::*;

  // Records of a flow that the host was not given yet.
  typedef struct packed {
    logic [63:0] head;    // newest, POSITION_NONE without
    logic [63:0] oldest;
    logic [31:0] count;
  } chain_of_t;

  typedef struct packed {
    logic        sticky;        // every frame goes to the host
    logic        diverted;      // at least one did
    logic        hole;          // the host misses something
    logic        bypassed;      // passed without inspection
    logic        blocked;       // dropped as a whole
    logic        unrecorded;    // frames are not recorded
    logic [7:0]  scopes;        // that can still match
    logic [5:0]  told_class;    // protocol class that the host has told, 0 without
    logic [63:0] last_trouble;  // frame
    logic [63:0] previous;      // newest record
    logic [63:0] chain_first;   // oldest record of the chain
    logic [31:0] chain_count;
  } verdict_state_t;

  localparam verdict_state_t FRESH = '{
      sticky: 1'b0,
      diverted: 1'b0,
      hole: 1'b0,
      bypassed: 1'b0,
      blocked: 1'b0,
      unrecorded: 1'b0,
      scopes: 8'hff,
      told_class: '0,
      last_trouble: '0,
      previous: POSITION_NONE,
      chain_first: POSITION_NONE,
      chain_count: '0
  };

  typedef enum logic [3:0] {
    VERDICT_FRAME    = 4'd0,
    VERDICT_RELEASE  = 4'd1,
    VERDICT_SETTLE   = 4'd2,
    VERDICT_BYPASS   = 4'd3,
    VERDICT_DIVERT   = 4'd4,
    VERDICT_FORGET   = 4'd5,
    VERDICT_BLOCK    = 4'd6,  // DROP or RESET of the whole flow
    VERDICT_HANDOVER = 4'd7,  // a record is about to be overwritten
    VERDICT_MISS     = 4'd8   // a frame too long to be looked at: a hole, whatever the host has decided
  } verdict_op_e;

  typedef struct packed {
    verdict_op_e op;
    logic        created;       // the entry begins with this beat
    logic        stale;         // command: for another generation
    logic        keep_history;  // SETTLE
    logic [7:0]  scopes;        // SETTLE
    logic [5:0]  told_class;    // SETTLE
    logic        inspected;     // frame: tables and host are there
    logic        trouble;       // frame: a record held
    logic        placed;        // frame: there is room for its record, at `position`
    logic        room;          // a descriptor is free
    logic [63:0] number;        // of the frame; for a command of the last frame before it
    logic [63:0] position;      // frame: of its record; HANDOVER: of the record about to go
    logic [63:0] bound;         // RELEASE: k
  } verdict_in_t;

  typedef enum logic [2:0] {
    FATE_PASS     = 3'd0,
    FATE_DIVERT   = 3'd1,
    FATE_BLOCKED  = 3'd2,
    FATE_BYPASSED = 3'd3,
    FATE_FAILED   = 3'd4,  // not inspected: fail mode decides
    FATE_FULL     = 3'd5   // no descriptor: fail mode decides
  } fate_e;

  typedef struct packed {
    fate_e       fate;       // of a frame
    logic        done;       // command: took effect
    logic        record_of;  // write the frame to history
    logic        lost;       // it should have been written, or its chain given, and there is no room
    logic        newly;      // diverted from here on
    logic        sticky;     // before
    logic        hole;       // after
    logic [63:0] previous;   // record before the frame's
    chain_of_t   chain;      // given to the host with the beat
  } verdict_out_t;

  typedef struct packed {
    verdict_state_t state;
    verdict_out_t   out;
  } verdict_t;

  function automatic chain_of_t chain_of(input verdict_state_t s);
    chain_of_t c;
    c.head = s.chain_count != '0 ? s.previous : POSITION_NONE;
    c.oldest = s.chain_first;
    c.count = s.chain_count;
    return c;
  endfunction

  function automatic verdict_t decide(input verdict_state_t before_beat, input verdict_in_t i);
    verdict_t r;
    verdict_state_t s;
    logic divert, recorded, take, miss;
    s = i.created ? FRESH : before_beat;
    r.out = '0;
    r.out.sticky = s.sticky;
    r.out.previous = s.previous;
    take = 1'b0;
    miss = 1'b0;
    unique case (i.op)
      VERDICT_FRAME: begin
        divert = i.trouble || s.sticky;
        recorded = !s.unrecorded;
        if (s.blocked) begin
          r.out.fate = FATE_BLOCKED;
        end else if (!i.inspected) begin
          r.out.fate = FATE_FAILED;
          miss = 1'b1;
        end else if (s.bypassed) begin
          r.out.fate = FATE_BYPASSED;
        end else begin
          r.out.newly = i.trouble && !s.sticky;
          if (i.trouble) begin
            s.sticky = 1'b1;
            s.diverted = 1'b1;
            s.last_trouble = i.number;
          end
          r.out.record_of = (recorded || divert) && i.placed;
          r.out.lost = (recorded || divert) && !i.placed;
          miss = r.out.lost;
          if (divert && i.room) begin
            r.out.fate = FATE_DIVERT;
            take = 1'b1;
          end else if (divert) begin
            r.out.fate = FATE_FULL;
            miss = 1'b1;
          end else if (r.out.record_of) begin
            if (s.chain_count == '0) s.chain_first = i.position;
            s.chain_count = s.chain_count + 32'd1;
            s.previous = i.position;
          end
        end
      end
      VERDICT_RELEASE: begin
        // Compare and set: nothing the host has not processed was trouble.
        r.out.done = !i.stale && s.sticky && s.last_trouble <= i.bound;
        if (r.out.done) begin
          s.sticky = 1'b0;
          s.hole = 1'b0;
        end
      end
      VERDICT_SETTLE: begin
        r.out.done = !i.stale;
        if (r.out.done) begin
          s.scopes = i.scopes;
          s.told_class = i.told_class;
          s.unrecorded = i.scopes != 8'hff && !i.keep_history;
          take = s.unrecorded;
        end
      end
      VERDICT_BYPASS: begin
        r.out.done = !i.stale;
        if (r.out.done) s.bypassed = 1'b1;
        take = r.out.done;
      end
      VERDICT_DIVERT: begin
        r.out.done = !i.stale;
        if (r.out.done) begin
          r.out.newly = !s.sticky;
          s.sticky = 1'b1;
          s.diverted = 1'b1;
          s.bypassed = 1'b0;
          if (i.number > s.last_trouble) s.last_trouble = i.number;
        end
        take = r.out.done;
      end
      VERDICT_FORGET: begin
        r.out.done = !i.stale;
        if (r.out.done) s = FRESH;
      end
      VERDICT_BLOCK: begin
        r.out.done = !i.stale;
        if (r.out.done) s.blocked = 1'b1;
      end
      VERDICT_MISS: miss = 1'b1;
      default: begin
        // Only a record that is still in the chain matters.
        r.out.done = !i.stale && s.chain_count != '0 && i.position >= s.chain_first;
        take = r.out.done;
        if (r.out.done && !i.room) begin
          r.out.lost = 1'b1;
          miss = 1'b1;
        end
      end
    endcase
    if (miss) begin
      s.hole = 1'b1;
      s.last_trouble = i.number;
    end
    if (take) begin
      r.out.chain = chain_of(s);
      s.chain_count = '0;
      s.chain_first = POSITION_NONE;
      if (i.op == VERDICT_FRAME && i.placed) s.previous = i.position;
    end
    r.out.hole = s.hole;
    r.state = s;
    return r;
  endfunction

endpackage

`default_nettype wire
