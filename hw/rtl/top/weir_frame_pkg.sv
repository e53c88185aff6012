// A frame on its way through the stages, and what is written of it: history header, descriptor, and the guards of what
// history can hold.
`default_nettype none

package weir_frame_pkg;
  import weir_contract_pkg::*;
  import weir_parse_pkg::*;
  import weir_match_pkg::*;
  import weir_flow_pkg::*;
  import weir_verdict_pkg::*;
  import weir_judge_pkg::*;
  import weir_core_pkg::*;

  // What decides a frame's fate: its verdict, or why it has none.
  typedef enum logic [2:0] {FATE_FRAME, DROP_BLOCKED, DROP_LONG, BYPASS_FLOW, FAIL_TABLES} cause_e;

  // A frame on its way through the stages.
  typedef struct packed {
    frame_meta_t      meta;
    active_t          active;
    logic [63:0]      now;            // frame time, with it
    logic             keyed;
    flow_key_t        key;
    logic [63:0]      hash;
    logic             from_lower;
    logic [5:0]       queue_of;
    logic [1:0][15:0] addresses;      // classes of source and destination
    logic [1:0][15:0] ports;
    logic             placed;         // there is room for its record
    logic [63:0]      start;          // where, known with its verdict
    logic [63:0]      last;
    logic             has_slot;
    logic             created;
    logic             reported;
    logic [31:0]      slot;
    logic [31:0]      generation_of;
    staged_t          staged;
    flow_state_t      flow;           // after the frame
    verdict_state_t   verdict;        // before it
    cause_e           cause;
    logic             open;           // without a verdict: it passes
    logic             payload;        // it has one
    logic [20:0]      payload_bytes;
    scan_total_t      total;
    logic [31:0]      hits;
    logic [63:0]      fired;          // guards, without those of history
    judged_t          judged;
    verdict_out_t     out;
  } frame_t;

  // Bytes of its record.
  function automatic logic [63:0] record_bytes(input logic [19:0] length);
    return (64'(length) + 64'd127) & ~64'd63;
  endfunction

  // `history_guards` of hw-sim/src/pipeline/judge.rs.
  function automatic logic [63:0] history_guards(input frame_t f, input logic [63:0] history_size);
    logic [63:0] guards;
    logic long_frame;
    guards = '0;
    long_frame = 64'(f.meta.length_of) > history_size >> 2;
    guards[GUARD_HISTORY_TOO_LONG] = long_frame;
    if (f.has_slot) begin
      guards[GUARD_FLOW_HOLE] = f.verdict.hole && !f.verdict.sticky;
      guards[GUARD_HISTORY_FULL] = !f.placed && !f.verdict.unrecorded && !long_frame;
    end
    return guards;
  endfunction

  function automatic logic [7:0] flags_of(input frame_t f);
    logic [7:0] flags;
    flags = '0;
    flags[FRAME_FLAGS_TO_CLIENT_BIT] = f.staged.direction;
    flags[FRAME_FLAGS_TRUNCATED_BIT] = f.meta.wire_length > 32'(f.meta.length_of);
    flags[FRAME_FLAGS_NO_RECORD_BIT] = !f.placed;
    if (f.has_slot) begin
      flags[FRAME_FLAGS_STICKY_BIT] = f.out.sticky;
      flags[FRAME_FLAGS_DIRECTION_SURE_BIT] = f.flow.intact;
      flags[FRAME_FLAGS_MIDSTREAM_BIT] = f.flow.midstream;
      // What a missing descriptor does to the entry comes behind the frame's own record.
      flags[FRAME_FLAGS_HOLE_BIT] = f.out.fate == FATE_FULL ? f.verdict.hole || f.out.lost : f.out.hole;
    end else begin
      flags[FRAME_FLAGS_FLOWLESS_BIT] = 1'b1;
    end
    return flags;
  endfunction

  function automatic history_header_t header_of(input frame_t f);
    history_header_t h;
    h = '0;
    h.frame_number = f.meta.number;
    h.time_ = f.now;
    h.previous = f.has_slot ? f.out.previous : POSITION_NONE;
    h.flow_index = f.has_slot ? f.slot : FLOW_NONE;
    h.flow_generation = f.has_slot ? f.generation_of : '0;
    h.wire_length = f.meta.wire_length;
    h.epoch = f.active.epoch;
    h.link = f.meta.link;
    h.flags = flags_of(f);
    return h;
  endfunction

  function automatic descriptor_t descriptor_of(input frame_t f);
    descriptor_t d;
    d = '0;
    d.kind = 8'(DESCRIPTOR_KIND_FRAME);
    d.flags = flags_of(f);
    d.class_ = f.has_slot ? class_of(f.flow) : '0;
    d.scopes = f.judged.scopes;
    d.frame_number = f.meta.number;
    d.position = f.placed ? f.start : POSITION_NONE;
    d.flow_index = f.has_slot ? f.slot : FLOW_NONE;
    d.flow_generation = f.has_slot ? f.generation_of : '0;
    d.chain_head = f.out.chain.count == '0 ? POSITION_NONE : f.out.chain.head;
    d.chain_count = f.out.chain.count;
    d.guards = f.judged.guards;
    d.next_sequence = f.staged.next_number;
    d.first_record = f.judged.first;
    d.epoch = f.active.epoch;
    return d;
  endfunction

  // Oldest history that the descriptor refers to.
  function automatic logic [63:0] oldest_of(input frame_t f);
    logic [63:0] position, chain;
    position = f.placed ? f.start : POSITION_NONE;
    chain = f.out.chain.count == '0 ? POSITION_NONE : f.out.chain.oldest;
    return position < chain ? position : chain;
  endfunction

endpackage

`default_nettype wire
