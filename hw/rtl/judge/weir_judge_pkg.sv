// Types and pure functions of judging: hw/contract/src/record.rs in hardware.
`default_nettype none

package weir_judge_pkg;
  import weir_contract_pkg::*;

  // Facts of one frame, as far as records ask (`FrameFacts`).
  typedef struct packed {
    logic             bank;               // of the tables
    logic [7:0]       transport;          // one bit of TransportMask
    logic [7:0]       version;            // one bit of IpMask
    logic [7:0]       directions;
    logic [7:0]       states;
    logic [63:0]      classes;
    logic             has_protocol;
    logic [7:0]       protocol;
    logic             has_tcp_flags;
    logic [7:0]       tcp_flags;
    logic             has_icmp;
    logic [7:0]       icmp_type;
    logic [7:0]       icmp_code;
    logic [31:0]      payload_length;
    logic [4:0]       packet_count;       // first bytes of the packet's payload
    logic [15:0][7:0] packet_first;
    logic             has_stream_first;
    logic [4:0]       stream_count;       // first bytes of the stream direction
    logic [15:0][7:0] stream_first;
    logic             stream_start_lost;
    logic             has_stream_offset;
    logic [63:0]      stream_offset;
    logic             has_reverse_bytes;
    logic [31:0]      reverse_bytes;      // stream bytes of the other direction
    logic [15:0]      source_address;     // classes
    logic [15:0]      destination_address;
    logic [15:0]      source_port;
    logic [15:0]      destination_port;
    logic [7:0]       scopes;             // that can still match
  } frame_facts_t;

  // What a header record asks of a frame beside its classes, as bits of the header table's rows: by DirectionMask (2 bits)
  // and StateMask (6), by protocol class (6), by IP version (2) and transport (3) as numbers of their bits.
  localparam int unsigned CONDITION_STATES = 0;
  localparam int unsigned CONDITION_CLASSES = 256;
  localparam int unsigned CONDITION_TRANSPORTS = 320;
  localparam int unsigned CONDITIONS = 352;

  typedef struct packed {
    logic [6:0]  transports;
    logic [2:0]  versions;
    logic [1:0]  directions;
    logic [5:0]  states;
    logic [63:0] class_mask;
  } conditions_t;

  function automatic conditions_t conditions_of(input record_t r);
    return '{
        transports: r.transports[6:0],
        versions: r.versions[2:0],
        directions: r.directions[1:0],
        states: r.states[5:0],
        class_mask: r.class_mask
    };
  endfunction

  // Which of 64 conditions from `group` * 64 on the record admits.
  function automatic logic [63:0] condition_bits(input conditions_t c, input logic [2:0] group);
    logic [63:0] bits;
    bits = '0;
    unique case (group)
      3'(CONDITION_CLASSES / 64): bits = c.class_mask;
      3'(CONDITION_TRANSPORTS / 64):
      for (int unsigned v = 0; v < 3; v++) if (c.versions[v]) bits[v*8+:7] = c.transports;
      default:
      for (int unsigned s = 0; s < 64; s++) bits[s] = (c.directions & group[1:0]) != '0 && (c.states & 6'(s)) != '0;
    endcase
    return bits;
  endfunction

  // What a guard's list says of each record before it is asked: eight entries of the lists are a word.
  localparam int unsigned LIST_WORD_LOG2 = 3;
  localparam int unsigned LIST_WORD = 1 << LIST_WORD_LOG2;

  typedef struct packed {
    logic [6:0] transports;
    logic [1:0] directions;
    logic [9:0] source_ports;
    logic [9:0] destination_ports;
  } list_summary_t;

  // What judging found (`Judged`), and what it counts.
  typedef struct packed {
    logic        by_header;       // a record of the header table held
    logic        by_guard;        // one of a guard's list
    logic        by_literal;      // one that a literal leads to
    logic [31:0] held;            // records that held, each time one did
    logic [31:0] entries;         // list entries of literals
    logic [63:0] heard;           // guards that fired and count
    logic [63:0] guards;          // guards that led to a record that held
    logic [7:0]  scopes;          // of all that held
    logic [31:0] first;           // first record that held, or RECORD_NONE
  } judged_t;

  // Payload facts count only where a record that the frame's lasting facts allow asks for them (facts.rs).
  localparam logic [63:0] PAYLOAD_FACTS = 64'h03ff_ff80_0000_0000;

  // What a record says of a frame.
  typedef struct packed {
    logic holds;
    logic lasting;  // the part that does not change from frame to frame of a flow holds
  } said_t;

  function automatic logic anchor_equals(input record_t r, input logic [15:0][7:0] bytes,
                                         input logic [4:0] count);
    logic equal;
    equal = 1'b1;
    for (int unsigned n = 0; n < 16; n++) begin
      if (r.anchor_mask[n] != '0 &&
          (5'(n) >= count || ((bytes[n] ^ r.anchor_value[n]) & r.anchor_mask[n]) != '0)) begin
        equal = 1'b0;
      end
    end
    return equal;
  endfunction

  // `members`: the frame's classes belong to the record's sets. `hit`: a literal at `position` leads to it.
  function automatic said_t record_says(input record_t r, input frame_facts_t f,
                                        input logic members, input logic hit,
                                        input logic signed [20:0] position);
    said_t said;
    logic tcp, icmp, protocol, payload, reverse, place, anchor, packet, stream, at_packet, at_stream;
    logic signed [65:0] in_stream;

    protocol = (r.protocol_min == 8'd0 && r.protocol_max == 8'd255) ||
               (f.has_protocol && f.protocol >= r.protocol_min && f.protocol <= r.protocol_max);
    said.lasting = (r.transports & f.transport) != '0 && (r.versions & f.version) != '0 &&
                   (r.directions & f.directions) != '0 && (r.states & f.states) != '0 &&
                   (r.class_mask & f.classes) != '0 && protocol && members;

    tcp = r.tcp_flags_mask == '0 ||
          (f.has_tcp_flags && (f.tcp_flags & r.tcp_flags_mask) == r.tcp_flags_value);
    icmp = {r.icmp_type_min, r.icmp_type_max, r.icmp_code_min, r.icmp_code_max} == 32'h00ff_00ff ||
           (f.has_icmp && f.icmp_type >= r.icmp_type_min && f.icmp_type <= r.icmp_type_max &&
            f.icmp_code >= r.icmp_code_min && f.icmp_code <= r.icmp_code_max);
    payload = f.payload_length >= 32'(r.payload_min) &&
              (r.payload_max == 16'hffff || f.payload_length <= 32'(r.payload_max));

    reverse = r.reverse_max == 16'hffff || !f.has_reverse_bytes || f.reverse_bytes <= 32'(r.reverse_max);

    packet = r.flags[RECORD_FLAGS_POSITION_PACKET_BIT];
    stream = r.flags[RECORD_FLAGS_POSITION_STREAM_BIT];
    in_stream = $signed({2'b00, f.stream_offset}) + 66'(position);
    at_packet = 32'(position) >= r.position_min && 32'(position) <= r.position_max;
    // A position that is not known, or beyond what a range can say, never narrows.
    at_stream = !f.has_stream_offset || f.stream_offset[63] || in_stream[65:63] == 3'b001 ||
                (in_stream >= 66'(r.position_min) && in_stream <= 66'(r.position_max));
    place = !hit || (!packet && !stream) || (packet && at_packet) || (stream && at_stream);

    packet = r.flags[RECORD_FLAGS_ANCHOR_PACKET_BIT];
    stream = r.flags[RECORD_FLAGS_ANCHOR_STREAM_BIT];
    anchor = (!packet && !stream) ||
             (packet && anchor_equals(r, f.packet_first, f.packet_count)) ||
             (stream && (f.stream_start_lost ||
                         (f.has_stream_first && anchor_equals(r, f.stream_first, f.stream_count))));

    said.holds = said.lasting && tcp && icmp && payload && reverse && place && anchor &&
                 (r.scopes & (f.scopes | 8'(1 << SCOPES_ALWAYS_BIT))) != '0;
    return said;
  endfunction

endpackage

`default_nettype wire
