// Types and pure functions of a flow entry's parse state: hw-sim/src/pipeline/lookup.rs and tcp.rs in hardware.
`default_nettype none

package weir_flow_pkg;
  import weir_contract_pkg::*;
  import weir_sequence_pkg::*;
  import weir_parse_pkg::*;
  import weir_detect_pkg::*;

  localparam logic [1:0] STATE_NEW = 2'd0;
  localparam logic [1:0] STATE_ESTABLISHED = 2'd1;
  localparam logic [1:0] STATE_MIDSTREAM = 2'd2;
  localparam logic [1:0] STATE_CLOSED = 2'd3;

  // Bytes of a stream direction before the next payload, folded. Bytes behind `count` are 0.
  typedef struct packed {
    logic [2:0]      count;
    logic [6:0][7:0] bytes;  // [0] is the first
  } tail_t;

  // `ParseState`. Numbers are 0 where they are not known.
  typedef struct packed {
    logic             initiator_lower;
    logic             intact;
    logic             midstream;
    logic             stale;
    logic             state_unsure;
    logic             reset;
    logic [1:0]       start_lost;
    logic [1:0]       state;
    logic [1:0]       handshake;
    logic             anchored;   // the host counts from the same initial numbers
    sequence_state_t  numbers;
    logic [1:0][31:0] initial_of;
    logic [1:0]       has_fin;
    logic [1:0][31:0] fin;
    logic [1:0]       has_timestamp;
    logic [1:0][31:0] timestamp;
    logic [1:0]       has_offset;
    logic [1:0][63:0] offset;
    logic [1:0][31:0] least;        // stream bytes that the host has for sure
    tail_t [1:0]      tail;
    logic [1:0][7:0]  tcp_flags;
    logic [1:0][63:0] packets;
    logic [1:0][63:0] bytes;
    logic [63:0]      first_frame;
    logic [63:0]      first_time;
    logic [63:0]      last_frame;
    logic [63:0]      last_time;
    logic [63:0]      reported;
    logic [7:0]       decided;      // class, where it came while no byte of either beginning was lost
    detector_t        detector;
  } flow_state_t;

  // `Arrival`.
  typedef struct packed {
    logic        created;
    logic        reported;    // a record tells of the flow before this frame
    logic        from_lower;
    logic [63:0] number;
    logic [63:0] now;
    parsed_t     parsed;
  } arrival_t;

  typedef struct packed {
    logic             midstream;  // the host follows streams without SYN
    logic [31:0]      window;     // delivered stream bytes that payload contents still see
    logic [7:0][63:0] timeouts;   // of the host, ns: TCP new, established, closed; UDP new, established; ICMP; other
  } follow_config_t;

  // `Staged`.
  typedef struct packed {
    logic             direction;  // 0: from the initiator
    logic [63:0]      guards;
    logic [7:0]       states;
    logic [63:0]      classes;
    logic [7:0]       directions;
    tail_t            tail;       // before this frame
    logic             continues;
    logic             may_continue;
    logic             has_stream_first;
    logic [4:0]       stream_count;
    logic [15:0][7:0] stream_first;
    logic             stream_start_lost;
    logic             has_stream_offset;
    logic [63:0]      stream_offset;
    logic             has_reverse_bytes;
    logic [31:0]      reverse_bytes;  // of the other direction, where the host is sure to have as many
    logic [31:0]      next_number;
  } staged_t;

  typedef struct packed {
    flow_state_t state;
    staged_t     staged;
  } follow_t;

  function automatic logic [63:0] least(input logic [63:0] a, input logic [63:0] b);
    return a < b ? a : b;
  endfunction

  // Idle time after which the host may have begun another flow in the entry.
  function automatic logic [63:0] shortest(input follow_config_t c, input logic [7:0] protocol,
                                           input flow_state_t s);
    logic established;
    established = s.state == STATE_ESTABLISHED && !s.state_unsure;
    unique case (protocol)
      PROTOCOL_TCP: begin
        if (established && !s.reset && s.has_fin == '0) return c.timeouts[1];
        return least(c.timeouts[0], least(c.timeouts[1], c.timeouts[2]));
      end
      PROTOCOL_UDP: return established ? c.timeouts[4] : least(c.timeouts[3], c.timeouts[4]);
      PROTOCOL_ICMP, PROTOCOL_ICMP6: return c.timeouts[5];
      default: return established ? c.timeouts[7] : least(c.timeouts[6], c.timeouts[7]);
    endcase
  endfunction

  // State of an entry that the frame makes.
  function automatic flow_state_t begin_flow(input arrival_t a);
    flow_state_t s;
    logic answer;
    s = '0;
    answer = a.parsed.tcp && a.parsed.tcp_flags[FLAG_SYN] && a.parsed.tcp_flags[FLAG_ACK];
    s.midstream = a.parsed.tcp && !(a.parsed.tcp_flags[FLAG_SYN] && !a.parsed.tcp_flags[FLAG_ACK]);
    s.initiator_lower = a.from_lower != answer;
    s.intact = !s.midstream;
    s.state_unsure = s.midstream;
    s.state = s.midstream ? STATE_MIDSTREAM : STATE_NEW;
    s.first_frame = a.number;
    s.first_time = a.now;
    s.last_frame = a.number;
    s.last_time = a.now;
    s.reported = a.now;
    return s;
  endfunction

  // The tail with the last `fresh` bytes (7: at least as many) of a payload behind it.
  function automatic tail_t append_tail(input tail_t tail, input logic [6:0][7:0] last,
                                        input logic [2:0] fresh);
    tail_t r;
    logic [2:0] keep;
    logic [6:0][7:0] old, more;
    keep = tail.count < 3'd7 - fresh ? tail.count : 3'd7 - fresh;
    old = tail.bytes >> {tail.count - keep, 3'b000};
    for (int unsigned n = 0; n < 7; n++) begin
      if (3'(n) >= keep) old[n] = '0;
      more[n] = last[n] >= 8'h41 && last[n] <= 8'h5a ? last[n] | 8'h20 : last[n];
    end
    // `more` ends at [6]; its last `fresh` bytes go to [keep] and on.
    more = more >> {3'd7 - fresh, 3'b000};
    r.bytes = old | (more << {keep, 3'b000});
    r.count = keep + fresh;
    return r;
  endfunction

  function automatic logic [5:0] guard_of(input segment_class_e kind);
    unique case (kind)
      TROUBLE_GAP: return 6'(GUARD_SEQUENCE_GAP);
      TROUBLE_OVERLAP: return 6'(GUARD_SEQUENCE_OVERLAP);
      TROUBLE_RETRANSMISSION: return 6'(GUARD_SEQUENCE_RETRANSMISSION);
      TROUBLE_SYN_DATA: return 6'(GUARD_SYN_DATA);
      TROUBLE_SYN_CHANGE: return 6'(GUARD_SYN_CHANGE);
      TROUBLE_RST_DATA: return 6'(GUARD_RST_DATA);
      default: return 6'(GUARD_URGENT);
    endcase
  endfunction

  // What the host's DIVERT does: the host knows bytes of the flow that the device did not read.
  function automatic flow_state_t divert_flow(input flow_state_t state, input logic created,
                                              input logic [63:0] number, input logic [63:0] now);
    flow_state_t s;
    s = state;
    if (created) begin
      s = '0;
      s.initiator_lower = 1'b1;
      s.first_frame = number;
      s.first_time = now;
      s.last_frame = number;
      s.last_time = now;
      s.reported = now;
    end
    s.intact = 1'b0;
    s.state_unsure = 1'b1;
    s.start_lost = '1;
    return s;
  endfunction

  // One frame of an entry. Two halves: all but detection is needed by the next frame of the flow at once; detection takes
  // what the first half says and follows a stage later.
  function automatic follow_t follow(input flow_state_t before_frame, input arrival_t a,
                                     input follow_config_t c);
    follow_t r;
    flow_state_t s;
    staged_t g;
    parsed_t p;
    sequence_result_t update;
    direction_state_t was, own, other;
    logic [1:0] state_before;
    logic [31:0] length, last, client, server, from_start, fresh, age;
    logic [63:0] idle, old_offset;
    logic d, syn, fin, rst, ack, ack_odd, checksum_bad, ignored, in_order, old, trouble, lose, push, good, open, udp,
          whole;
    logic is_syn, is_answer, shared, had_offset, unfollowed, past_start;
    logic [15:0] client_port, server_port;

    p = a.parsed;
    s = a.created ? begin_flow(a) : before_frame;
    if (a.reported) s.reported = a.now;
    g = '0;
    unfollowed = 1'b0;
    past_start = 1'b0;
    g.guards = p.guards;
    g.classes = '1;
    g.directions = 8'd3;
    d = s.initiator_lower != a.from_lower;
    g.direction = d;
    udp = p.protocol == PROTOCOL_UDP;

    // ---- age
    idle = a.now > s.last_time ? a.now - s.last_time : '0;
    if (a.created) begin
      g.guards[GUARD_NEW_FLOW] = 1'b1;
      if (s.midstream) g.guards[GUARD_NO_SYN] = 1'b1;
    end else if (idle > shortest(c, p.protocol, s)) begin
      s.stale = 1'b1;
      s.intact = 1'b0;
      s.state_unsure = 1'b1;
      g.guards[GUARD_FLOW_STALE] = 1'b1;
    end
    state_before = s.state;
    s.packets[d] = s.packets[d] + 64'd1;
    s.bytes[d] = s.bytes[d] + 64'(p.length_of);
    s.last_frame = a.number;
    s.last_time = a.now;
    checksum_bad = p.guards[GUARD_CHECKSUM_L4] || p.guards[GUARD_CHECKSUM_IP];
    client_port = d ? p.destination_port : p.source_port;
    server_port = d ? p.source_port : p.destination_port;
    g.tail = s.tail[d];
    length = 32'(p.payload_end) - 32'(p.payload_start);
    lose = 1'b0;
    push = 1'b0;

    if (p.tcp) begin
      syn = p.tcp_flags[FLAG_SYN];
      fin = p.tcp_flags[FLAG_FIN];
      rst = p.tcp_flags[FLAG_RST];
      ack = p.tcp_flags[FLAG_ACK];
      last = p.number + length;
      // Payload behind the end of its direction, or after a reset.
      if (length != '0 && ((s.has_fin[d] && after(last, s.fin[d])) || s.reset)) begin
        g.guards[GUARD_AFTER_CLOSE] = 1'b1;
      end
      // A SYN in a flow that has one already.
      if (!a.created && syn && !ack) begin
        s.state_unsure = 1'b1;
        if (d || s.reset || s.has_fin != '0 || s.midstream) begin
          s.intact = 1'b0;
          g.guards[GUARD_STREAM_STATE] = 1'b1;
        end
      end
      was = s.numbers[d];
      update = sequence_update(s.numbers, d, p.number, p.acknowledgement, p.tcp_flags, length[15:0]);
      s.numbers = update.state;
      own = s.numbers[d];
      other = s.numbers[!d];
      ack_odd = ack && other.valid && after(p.acknowledgement, other.next);
      if (ack_odd) g.guards[GUARD_ACK_ODD] = 1'b1;
      if (own.valid && !was.valid) begin
        s.initial_of[d] = p.number;
        s.has_offset[d] = length == '0;
        s.offset[d] = '0;
        s.tail[d] = '0;
      end
      // Protection against wrapped sequence numbers (RFC 7323 section 5); the host looks at it where the checksum is right.
      old = 1'b0;
      if (!checksum_bad && p.has_timestamp) begin
        age = p.timestamp - s.timestamp[d];
        old = p.timestamp != '0 && s.has_timestamp[d] && age[31];
        if (!s.has_timestamp[d] || after(p.timestamp, s.timestamp[d])) begin
          s.has_timestamp[d] = 1'b1;
          s.timestamp[d] = p.timestamp;
        end
      end
      ignored = checksum_bad || ack_odd || old;
      had_offset = s.has_offset[d];
      old_offset = s.offset[d];
      trouble = update.kind[3];
      // The host is sure to have delivered all that lies before the next byte, and reads no copy (decision 0041).
      if (update.kind == TROUBLE_RETRANSMISSION && s.has_offset[d] && s.handshake == 2'd3 && s.intact &&
          !s.state_unsure) begin
        trouble = 1'b0;
        g.guards[GUARD_SEQUENCE_RETRANSMISSION] = 1'b1;
      end
      in_order = 1'b0;
      if (update.kind == SEGMENT_IN_ORDER) begin
        in_order = 1'b1;
        s.tail[d] = append_tail(s.tail[d], p.last, p.last_count);
        if (ignored) lose = 1'b1;
        else if (s.has_offset[d]) begin
          s.offset[d] = s.offset[d] + 64'(length);
          s.least[d] = s.offset[d][63:32] != '0 ? '1 : s.offset[d][31:0];
        end
      end
      if (update.kind == SEGMENT_UNTRACKED && c.midstream) g.guards[GUARD_STREAM_STATE] = 1'b1;
      if (trouble) begin
        g.guards[guard_of(update.kind)] = 1'b1;
        if (update.kind == TROUBLE_RETRANSMISSION) g.guards[GUARD_SEQUENCE_OVERLAP] = 1'b1;
        if (s.start_lost[d]) g.guards[GUARD_STREAM_STATE] = 1'b1;
        lose = 1'b1;
      end
      // The direction's beginning, or where it stands, is no longer what the host has.
      if (lose) begin
        s.has_offset[d] = 1'b0;
        s.offset[d] = '0;
        if (s.detector.length_of[d] < 5'd16) s.start_lost[d] = 1'b1;
        s.detector = detector_lost(s.detector, d);
      end
      if (trouble) begin
        from_start = p.number - (s.initial_of[d] + 32'd1);
        if (from_start < 32'd16 && length != '0) s.start_lost[d] = 1'b1;
        fresh = last - was.next;
        if (update.kind == TROUBLE_SYN_CHANGE) begin
          s.intact = 1'b0;
          s.state_unsure = 1'b1;
          s.start_lost = '1;
          s.has_offset = '0;
          s.offset = '0;
          s.tail = '0;
        end else if (was.valid && length != '0 && after(last, was.next)) begin
          // Where the next expected byte moved, the tail is what stands before it; over a gap too (contract, tail.rs).
          s.tail[d] = append_tail(s.tail[d], p.last,
                                  fresh < 32'(p.last_count) ? fresh[2:0] : p.last_count);
        end
      end
      // SYN, SYN+ACK, ACK; anything else while the handshake is open is odd, and the host's state unsure. So it is where the
      // host may leave a segment out.
      if (s.handshake != 2'd3 && !s.midstream && !s.reset) begin
        if (ignored) s.state_unsure = 1'b1;
        client = s.initial_of[0] + 32'd1;
        server = s.initial_of[1] + 32'd1;
        is_syn = syn && !ack && !fin && !rst;
        is_answer = syn && ack && !fin && !rst;
        if (s.handshake == 2'd0 && !d && is_syn) begin
          s.handshake = 2'd1;
          good = length == '0;
        end else if (s.handshake == 2'd1 && !d && is_syn) begin
          good = p.number + 32'd1 == client;
        end else if (s.handshake == 2'd1 && d && is_answer) begin
          s.handshake = 2'd2;
          good = p.acknowledgement == client && length == '0;
        end else if (s.handshake == 2'd2 && d && is_answer) begin
          good = p.number + 32'd1 == server && p.acknowledgement == client;
        end else if (s.handshake == 2'd2 && !d && ack && !syn && !rst) begin
          s.handshake = 2'd3;
          s.state = STATE_ESTABLISHED;
          good = p.number == client && p.acknowledgement == server;
        end else begin
          good = rst;
          open = s.numbers[0].valid && s.numbers[1].valid;
          if (!rst && open && !syn) s.state = STATE_ESTABLISHED;
        end
        if (!good) begin
          s.state_unsure = 1'b1;
          g.guards[GUARD_HANDSHAKE_ODD] = 1'b1;
        end
        s.anchored = s.handshake == 2'd3 && s.intact && !s.state_unsure;
      end
      if (fin && !s.has_fin[d]) begin
        s.has_fin[d] = 1'b1;
        s.fin[d] = last;
      end
      if (rst) begin
        s.reset = 1'b1;
        s.state_unsure = 1'b1;
      end
      if (!s.midstream && (s.reset || s.has_fin == '1)) begin
        s.state = STATE_CLOSED;
        s.state_unsure = 1'b1;
      end
      s.tcp_flags[d] = s.tcp_flags[d] | p.tcp_flags;
      g.may_continue = in_order || update.kind == TROUBLE_GAP;
      g.continues = in_order && !ignored;
      g.has_stream_offset = in_order && had_offset;
      if (g.has_stream_offset) g.stream_offset = old_offset;
      push = g.continues && had_offset;
      g.next_number = s.numbers[d].next;
      // The host counts what it accepts; where the two could differ the number is not known.
      g.has_reverse_bytes = s.intact && !s.state_unsure && s.handshake == 2'd3;
      if (g.has_reverse_bytes) g.reverse_bytes = s.least[!d];
      // Where the host follows no stream there is no parser either.
      unfollowed = s.midstream && !c.midstream && s.start_lost == '0 && !s.numbers[0].valid && !s.numbers[1].valid;
      from_start = p.number - (s.initial_of[d] + 32'd1);
      past_start = s.anchored && s.intact && !from_start[31] && {1'b0, from_start} >= {1'b0, c.window} + 33'd16;
      if (!s.numbers[d].valid) begin
        g.stream_start_lost = c.midstream || (!s.intact && !unfollowed);
      end else if (!past_start) begin
        g.has_stream_first = 1'b1;
        g.stream_start_lost = s.start_lost[d] || !s.intact;
      end
    end else begin
      if (s.packets[0] != '0 && s.packets[1] != '0) s.state = STATE_ESTABLISHED;
      if (udp && length != '0) begin
        if (checksum_bad) s.start_lost = '1;
        else push = 1'b1;
      end
    end

    // ---- detection
    if (push) begin
      s.detector = detector_push(s.detector, udp, client_port, server_port, d, p.first, p.first_count);
    end
    if (g.has_stream_first) begin
      g.stream_count = s.detector.length_of[d];
      g.stream_first = s.detector.bytes[d];
    end

    // ---- what narrows
    // The host tells ICMP conversations apart by identifier; the entry holds them all.
    shared = p.protocol == PROTOCOL_ICMP || p.protocol == PROTOCOL_ICMP6;
    if (s.state_unsure || shared) g.states = 8'h0f;
    else g.states = (8'd1 << state_before) | (8'd1 << s.state);
    if (s.intact && !shared) g.directions = d ? 8'd2 : 8'd1;
    // What is lost after the answer does not change it.
    whole = s.intact && s.start_lost == '0;
    if (whole && s.decided == CLASS_UNKNOWN) begin
      s.decided = s.detector.answer;
      if (s.decided != CLASS_UNKNOWN) g.states[STATE_MASK_DECIDING_BIT] = 1'b1;
    end
    if (unfollowed) begin
      g.classes = 64'd1 << CLASS_FAILED;
    end else if (s.intact && (s.decided != CLASS_UNKNOWN || ((udp || p.tcp) && whole))) begin
      g.classes = 64'd1 << s.decided[5:0];
    end

    r.state = s;
    r.staged = g;
    return r;
  endfunction

endpackage

`default_nettype wire
