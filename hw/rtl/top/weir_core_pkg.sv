// What the parts of the frame path ask of each other. A request is all zero while its owner is idle, so that requests of
// several owners, of which one is at work, are joined by OR.
`default_nettype none

package weir_core_pkg;
  import weir_contract_pkg::*;
  import weir_parse_pkg::*;
  import weir_flow_pkg::*;
  import weir_verdict_pkg::*;
  import weir_dma_pkg::*;
  import weir_judge_pkg::*;

  // Settings that registers hold; constant while enabled.
  typedef struct packed {
    parse_config_t    parse;
    follow_config_t   follow;
    logic [63:0]      margin;           // added to the longest time-out of a transport, ns
    logic [63:0]      report_interval;  // ns; 0: none
    logic [5:0][63:0] flow_hash;
    logic             vlan_key;
    logic             source_waits;
    logic             fail_closed;
    logic [31:0]      watchdog_frames;  // 0: no limit
    logic [63:0]      watchdog_time;    // ns; 0: no limit
    logic [5:0]       queue_mask;       // queues in use - 1
  } core_config_t;

  // A queue's rings, and how far the host is.
  typedef struct packed {
    logic [63:0] history_margin;  // 0: a quarter of the ring
    logic [63:0] tx_base;
    logic [31:0] tx_entries;
    logic [31:0] descriptor_consumer;
    logic [31:0] flow_record_consumer;
    logic [31:0] tx_producer;
  } queue_host_t;

  // The bank that judges.
  typedef struct packed {
    logic        valid;
    logic        bank;
    logic [31:0] epoch;
  } active_t;

  // A frame, beside its bytes.
  typedef struct packed {
    logic [15:0] link;
    logic [31:0] wire_length;
    logic [63:0] number;
    logic [63:0] time_of;
    logic [15:0] word;       // first word in the frame buffer
    logic [19:0] length_of;  // bytes; saturates above FRAME_LENGTH_MAX
  } frame_meta_t;

  // ---- flow table
  localparam logic [2:0] TABLE_KEY = 3'd0;
  localparam logic [2:0] TABLE_NAME = 3'd1;
  localparam logic [2:0] TABLE_FORGET = 3'd2;
  localparam logic [2:0] TABLE_SWEEP = 3'd3;
  localparam logic [2:0] TABLE_FIND = 3'd4;

  typedef struct packed {
    logic        valid;          // for one cycle
    logic [2:0]  op;
    flow_key_t   key;
    logic [63:0] hash;
    logic [63:0] now;
    logic [63:0] expiry;
    logic [31:0] slot;
    logic [31:0] generation_of;
  } table_request_t;

  typedef struct packed {
    logic             valid;     // for one cycle
    logic             live;
    logic             created;
    logic [31:0]      slot;
    logic [31:0]      generation_of;
    logic [1:0]       ended;
    logic [1:0][31:0] ended_slot;
    logic [7:0]       swept;
    logic [7:0]       used;
  } table_answer_t;

  // ---- accesses to the entry
  typedef struct packed {
    logic        valid;  // for one cycle
    logic        divert;
    logic        peek;
    logic [31:0] slot;
    arrival_t    arrival;
  } parse_request_t;

  typedef struct packed {
    logic        valid;
    staged_t     staged;
    flow_state_t state;
  } parse_answer_t;

  typedef struct packed {
    logic        valid;  // for one cycle
    logic [31:0] slot;
    verdict_in_t beat;
  } verdict_request_t;

  typedef struct packed {
    logic           valid;
    verdict_out_t   out;
    verdict_state_t state;
  } verdict_answer_t;

  // What an entry is, beside its states: for records.
  typedef struct packed {
    flow_key_t   key;
    logic [31:0] generation_of;
    logic [5:0]  queue_of;
  } identity_t;

  typedef struct packed {
    logic        valid;
    logic [31:0] slot;
    identity_t   identity;
  } identity_write_t;

  // ---- queue writer
  typedef struct packed {
    logic          valid;   // until taken
    write_kind_e   kind;
    logic [5:0]    queue_of;
    logic [1023:0] body;
    logic [19:0]   length_of;
  } write_request_t;

  // ---- descriptor ring: a descriptor was written, or what is pinned?
  typedef struct packed {
    logic        valid;   // for one cycle
    logic        push;    // else: ask
    logic [5:0]  queue_of;
    logic [63:0] oldest;  // history position that the descriptor refers to, or POSITION_NONE
  } pin_request_t;

  typedef struct packed {
    logic        valid;
    logic        push;    // what was pushed is in place; else: what was asked
    logic        pinned;
    logic [63:0] lowest;
  } pin_answer_t;

  // ---- an entry's life
  typedef enum logic [2:0] {
    LIFE_END      = 3'd0,  // write its last record
    LIFE_REPORT   = 3'd1,
    LIFE_HANDOVER = 3'd2,  // give its chain to the host
    LIFE_DIVERT   = 3'd3,  // by command: divert, and give the chain
    LIFE_LOSE     = 3'd4   // its chain goes without having been given
  } life_op_e;

  typedef struct packed {
    logic        valid;   // for one cycle
    life_op_e    op;
    logic [31:0] slot;
    logic [7:0]  kind;    // of a flow record
    logic        created; // DIVERT: the command made the entry
  } life_request_t;

  // ---- room for a frame
  typedef struct packed {
    logic        valid;      // for one cycle
    logic        may_wait;
    logic [5:0]  queue_of;
    logic [19:0] length_of;
    logic [63:0] now;
  } room_request_t;

  typedef struct packed {
    logic        valid;
    logic        waits;   // nothing was done
    logic        placed;
  } room_answer_t;

  // Where the next record of a queue goes: as things stand, of a frame whose turn it is.
  typedef struct packed {
    logic [5:0]  queue_of;
    logic [19:0] length_of;
  } place_request_t;

  typedef struct packed {
    logic [63:0] start;
    logic [63:0] last;
  } record_place_t;

  // A record was written.
  typedef struct packed {
    logic        valid;
    logic [5:0]  queue_of;
    logic [63:0] start;
    logic [63:0] last;
    logic        flow;     // it is of an entry
    logic [31:0] slot;
    logic [31:0] generation_of;
  } recorded_t;

  // ---- host memory reads, up to 64 bytes
  typedef struct packed {
    logic        valid;    // until answered
    logic [63:0] address;
    logic [6:0]  bytes;
  } read_request_t;

  typedef struct packed {
    logic         valid;
    logic         fault;
    logic [511:0] data;
  } read_answer_t;

  // ---- what leaves by the port, 64 bytes at a time
  typedef enum logic [1:0] {
    EGRESS_PASSED    = 2'd0,
    EGRESS_FORWARDED = 2'd1,
    EGRESS_INJECTED  = 2'd2
  } egress_e;

  typedef struct packed {
    logic         valid;   // until taken
    egress_e      kind;
    logic [7:0]   port;    // injected
    logic [63:0]  number;  // forwarded: of the frame
    logic         last;
    logic [6:0]   bytes;   // of this word; a frame whose bytes are not there has one word of none
    logic [511:0] data;
  } egress_t;

  // ---- counting
  typedef struct packed {
    logic [COUNTER_COUNT-1:0] more;
    logic [COUNTER_COUNT-1:0] less;
    logic [6:0]               amount_of;  // counter that grows by `amount`
    logic [63:0]              amount;
    logic [6:0]               also_of;    // another one that grows by `also`
    logic [63:0]              also;
    logic [63:0]              received;   // bytes of a frame that was taken
    logic [63:0]              guards;     // that fired on a frame
  } count_t;

  typedef struct packed {
    logic        valid;
    logic [31:0] code;
    logic [63:0] detail;
  } error_t;

  // Saturating.
  function automatic logic [63:0] later(input logic [63:0] a, input logic [63:0] b);
    logic [64:0] sum;
    sum = 65'(a) + 65'(b);
    return sum[64] ? '1 : sum[63:0];
  endfunction

  function automatic logic [63:0] greatest(input logic [63:0] a, input logic [63:0] b);
    return a > b ? a : b;
  endfunction

  // Time until which an entry lives: later than any rule of the host would end the flow.
  function automatic logic [63:0] expiry_of(input core_config_t c, input logic [7:0] protocol,
                                            input logic [63:0] now);
    logic [63:0] longest;
    unique case (protocol)
      PROTOCOL_TCP:
      longest = greatest(c.follow.timeouts[0], greatest(c.follow.timeouts[1], c.follow.timeouts[2]));
      PROTOCOL_UDP: longest = greatest(c.follow.timeouts[3], c.follow.timeouts[4]);
      PROTOCOL_ICMP, PROTOCOL_ICMP6: longest = c.follow.timeouts[5];
      default: longest = greatest(c.follow.timeouts[6], c.follow.timeouts[7]);
    endcase
    return later(now, later(longest, c.margin));
  endfunction

  // Protocol class that the host is told.
  function automatic logic [7:0] class_of(input flow_state_t p);
    return p.intact ? p.decided : 8'd0;
  endfunction

  function automatic flow_record_t flow_record(input flow_state_t p, input verdict_state_t v,
                                               input identity_t identity, input logic [31:0] slot,
                                               input logic [7:0] kind);
    flow_record_t r;
    r = '0;
    r.kind = kind;
    r.flags[FLOW_FLAGS_MIDSTREAM_BIT] = p.midstream;
    r.flags[FLOW_FLAGS_HOLE_BIT] = v.hole;
    r.flags[FLOW_FLAGS_DIVERTED_BIT] = v.diverted;
    r.flags[FLOW_FLAGS_STICKY_BIT] = v.sticky;
    r.flags[FLOW_FLAGS_SETTLED_BIT] = v.scopes != 8'hff;
    r.flags[FLOW_FLAGS_BYPASSED_BIT] = v.bypassed;
    r.flags[FLOW_FLAGS_BLOCKED_BIT] = v.blocked;
    r.flags[FLOW_FLAGS_STALE_BIT] = p.stale;
    r.class_ = class_of(p);
    r.state = 8'(p.state);
    r.flow_index = slot;
    r.flow_generation = identity.generation_of;
    r.key = identity.key;
    r.initiator_upper = 8'(!p.initiator_lower);
    r.tcp_flags_to_server = p.tcp_flags[0];
    r.tcp_flags_to_client = p.tcp_flags[1];
    r.scopes = v.scopes;
    r.first_time = p.first_time;
    r.last_time = p.last_time;
    r.first_frame = p.first_frame;
    r.last_frame = p.last_frame;
    r.packets_to_server = p.packets[0];
    r.packets_to_client = p.packets[1];
    r.bytes_to_server = p.bytes[0];
    r.bytes_to_client = p.bytes[1];
    return r;
  endfunction

  // Of a frame without an entry.
  function automatic staged_t flowless(input logic [63:0] guards);
    staged_t g;
    g = '0;
    g.guards = guards;
    g.states = 8'(1 << STATE_MASK_FLOWLESS_BIT);
    g.classes = '1;
    g.directions = 8'd3;
    return g;
  endfunction

  // Facts of a frame for the records. `classes`: addresses and ports of source and destination.
  function automatic frame_facts_t facts_of(input parsed_t p, input staged_t g, input logic keyed,
                                            input logic bank, input logic [7:0] scopes,
                                            input logic [5:0] told_class,
                                            input logic [1:0][15:0] addresses,
                                            input logic [1:0][15:0] ports);
    frame_facts_t f;
    logic [7:0] transport;
    f = '0;
    unique case (p.protocol)
      PROTOCOL_TCP: transport = 8'(1 << TRANSPORT_MASK_TCP_BIT);
      PROTOCOL_UDP: transport = 8'(1 << TRANSPORT_MASK_UDP_BIT);
      PROTOCOL_ICMP:
      transport = p.six ? 8'(1 << TRANSPORT_MASK_OTHER_BIT) : 8'(1 << TRANSPORT_MASK_ICMPV4_BIT);
      PROTOCOL_ICMP6:
      transport = p.six ? 8'(1 << TRANSPORT_MASK_ICMPV6_BIT) : 8'(1 << TRANSPORT_MASK_OTHER_BIT);
      PROTOCOL_SCTP: transport = 8'(1 << TRANSPORT_MASK_SCTP_BIT);
      default: transport = 8'(1 << TRANSPORT_MASK_OTHER_BIT);
    endcase
    if (!p.has_ends) begin
      f.transport = 8'(1 << TRANSPORT_MASK_NONE_BIT);
      f.version = 8'(1 << IP_MASK_NONE_BIT);
    end else begin
      f.transport = p.keyed ? transport : 8'(1 << TRANSPORT_MASK_OTHER_BIT);
      f.version = p.six ? 8'(1 << IP_MASK_V6_BIT) : 8'(1 << IP_MASK_V4_BIT);
      f.source_address = addresses[0];
      f.destination_address = addresses[1];
    end
    f.bank = bank;
    f.directions = g.directions;
    f.states = g.states;
    f.classes = told_class != '0 ? 64'd1 << told_class : g.classes;
    f.has_protocol = p.has_ends;
    f.protocol = p.protocol;
    f.has_tcp_flags = p.tcp;
    f.tcp_flags = p.tcp_flags;
    f.has_icmp = p.icmp;
    f.icmp_type = p.icmp_type;
    f.icmp_code = p.icmp_code;
    if (keyed) begin
      f.payload_length = 32'(p.payload_end) - 32'(p.payload_start);
      f.packet_count = p.first_count;
      f.packet_first = p.first;
    end
    f.has_stream_first = g.has_stream_first;
    f.stream_count = g.stream_count;
    f.stream_first = g.stream_first;
    f.stream_start_lost = g.stream_start_lost;
    f.has_stream_offset = g.has_stream_offset;
    f.stream_offset = g.stream_offset;
    f.has_reverse_bytes = g.has_reverse_bytes;
    f.reverse_bytes = g.reverse_bytes;
    f.source_port = ports[0];
    f.destination_port = ports[1];
    f.scopes = scopes;
    return f;
  endfunction

  // Who is at work in the frame path (weir_turns).
  typedef enum logic [1:0] {NOTHING, ENDING, COMMANDS, FRAME} work_e;

endpackage

`default_nettype wire
