// Types and pure functions of the parser: hw-sim/src/parse.rs in hardware.
//
// A frame is cut into 4-byte words so that every header behind the link layer begins at a word: word 0 begins at byte 2
// of an Ethernet frame, at byte 0 of any other. Positions that begin there are called places; a place plus the link's
// shift is a byte of the frame. Byte 0 of a word (bits 7:0) is the first in the frame.
`default_nettype none

package weir_parse_pkg;
  import weir_contract_pkg::*;

  // Byte of a frame, saturating far behind the longest frame that is taken (FRAME_LENGTH_MAX).
  typedef logic [19:0] place_t;
  // Word of a frame.
  typedef logic [17:0] word_index_t;

  // Longest header in words: IPv4 with options, TCP with options.
  localparam int unsigned HEADER_WORDS = 15;
  // Extension headers that are stepped over.
  localparam int unsigned EXTENSIONS = 8;
  // Longest frame that a link may have padded: 60 bytes, with a VLAN tag or the check sequence 64.
  localparam place_t PADDED = 20'd64;

  localparam logic [7:0] PROTOCOL_ICMP = 8'd1;
  localparam logic [7:0] PROTOCOL_TCP = 8'd6;
  localparam logic [7:0] PROTOCOL_UDP = 8'd17;
  localparam logic [7:0] PROTOCOL_ICMP6 = 8'd58;
  localparam logic [7:0] PROTOCOL_SCTP = 8'd132;

  typedef enum logic [2:0] {
    LINK_UNSUPPORTED = 3'd0,
    LINK_ETHERNET    = 3'd1,
    LINK_RAW         = 3'd2,
    LINK_COOKED      = 3'd3,
    LINK_LOOPBACK    = 3'd4
  } link_e;

  // What registers tell the parser.
  typedef struct packed {
    logic             checksums;     // look at checksums
    logic [7:0][15:0] tunnel_ports;  // UDP ports of tunnels, 0: none
  } parse_config_t;

  // What the link layer says.
  typedef struct packed {
    logic             ip;           // an IP header begins at word `header`
    logic             six;          // of version 6, as far as the link layer knows
    logic [2:0]       header;
    logic [1:0][11:0] vlan;
    logic             non_ip;       // guards
    logic             malformed;
    logic             unsupported;
    logic             depth;
    logic             mpls;
    logic             pppoe;
  } link_result_t;

  // Where the walk over IPv6 extension headers stands.
  typedef enum logic [2:0] {
    CHAIN_PENDING   = 3'd0,  // the next header has not come yet
    CHAIN_WALK      = 3'd1,  // a header of type `next` begins at `header`
    CHAIN_TRANSPORT = 3'd2,  // the transport begins at `header`
    CHAIN_FRAGMENT  = 3'd3,
    CHAIN_UNKNOWN   = 3'd4,
    CHAIN_MALFORMED = 3'd5
  } chain_state_e;

  typedef struct packed {
    chain_state_e state;
    word_index_t  header;
    place_t       last;       // end of the packet
    logic [7:0]   next;
    logic [7:0]   protocol;
    logic         extension;  // there was any
    logic         six;
  } chain_t;

  // What becomes of a frame: the model's `Parsed`, and what later stages take from the bytes. Fields are 0 where they
  // mean nothing.
  typedef struct packed {
    logic [63:0]       guards;
    logic              has_ends;
    logic              six;
    logic [15:0][7:0]  source;             // as in a flow key
    logic [15:0][7:0]  destination;
    logic [15:0]       source_port;
    logic [15:0]       destination_port;
    logic [7:0]        protocol;
    logic              keyed;
    logic [1:0][11:0]  vlan;
    place_t            payload_start;      // bytes of the frame
    place_t            payload_end;
    logic              tcp;
    logic [31:0]       number;
    logic [31:0]       acknowledgement;
    logic [7:0]        tcp_flags;
    logic              has_timestamp;
    logic [31:0]       timestamp;
    logic              icmp;
    logic [7:0]        icmp_type;
    logic [7:0]        icmp_code;
    place_t            length_of;          // bytes of the frame
    logic [4:0]        first_count;        // first payload bytes
    logic [15:0][7:0]  first;
    logic [2:0]        last_count;         // last payload bytes; [6] is the last
    logic [6:0][7:0]   last;
  } parsed_t;

  function automatic logic [15:0] be16(input logic [15:0] bytes);
    return {bytes[7:0], bytes[15:8]};
  endfunction

  function automatic logic [31:0] be32(input logic [31:0] bytes);
    return {bytes[7:0], bytes[15:8], bytes[23:16], bytes[31:24]};
  endfunction

  function automatic link_e link_of(input logic [15:0] link);
    unique case (link)
      16'd1: return LINK_ETHERNET;
      16'd12, 16'd14, 16'd101, 16'd228, 16'd229: return LINK_RAW;
      16'd113: return LINK_COOKED;
      16'd0, 16'd108: return LINK_LOOPBACK;
      default: return LINK_UNSUPPORTED;
    endcase
  endfunction

  // Bytes before word 0.
  function automatic place_t shift_of(input link_e link);
    return link == LINK_ETHERNET ? place_t'(2) : place_t'(0);
  endfunction

  function automatic logic is_tag(input logic [15:0] ether_type);
    return ether_type inside {16'h8100, 16'h88a8, 16'h9100, 16'h9200, 16'h9300};
  endfunction

  // The link layer from the first eight words, of which `known` places have come. Before the last beat of a frame the
  // answer may still be "malformed" for want of bytes; where it says `ip` it is final.
  function automatic link_result_t link_resolve(input link_e link, input logic [7:0][31:0] words,
                                                input place_t known);
    link_result_t r;
    logic [15:0] ether_type;
    logic [31:0] family, other;
    logic [2:0] at;
    logic done;
    r = '0;
    if (link == LINK_UNSUPPORTED) begin
      r.unsupported = 1'b1;
    end else if (link == LINK_RAW) begin
      // Raw IP: the version decides.
      r.ip = known != '0 && words[0][7:4] inside {4'd4, 4'd6};
      r.six = words[0][7:4] == 4'd6;
      r.malformed = !r.ip;
    end else if (link == LINK_LOOPBACK) begin
      // Address family in the byte order of the capturing host.
      family = words[0];
      other = be32(words[0]);
      r.six = family inside {32'd10, 32'd24, 32'd26, 32'd28, 32'd30} ||
              other inside {32'd10, 32'd24, 32'd26, 32'd28, 32'd30};
      r.ip = known >= place_t'(4) && (r.six || family == 32'd2 || other == 32'd2);
      r.header = 3'd1;
      r.malformed = !r.ip;
    end else begin
      // The word that ends with the EtherType; a tag is a word that ends with the next one.
      at = link == LINK_ETHERNET ? 3'd2 : 3'd3;
      done = known < {15'd0, at, 2'b00} + place_t'(4);
      r.malformed = done;
      for (int unsigned tags = 0; tags < 4; tags++) begin
        ether_type = be16(words[at][31:16]);
        if (!done && is_tag(ether_type)) begin
          if (tags >= 2) r.depth = 1'b1;
          if (tags >= 3) begin
            done = 1'b1;
          end else if (known < {15'd0, at, 2'b00} + place_t'(8)) begin
            r.malformed = 1'b1;
            done = 1'b1;
          end else begin
            at = at + 3'd1;
            if (tags < 2) r.vlan[tags[0]] = {words[at][3:0], words[at][15:8]};
          end
        end else if (!done) begin
          done = 1'b1;
          r.header = at + 3'd1;
          unique case (ether_type) inside
            16'h0800: r.ip = 1'b1;
            16'h86dd: begin
              r.ip  = 1'b1;
              r.six = 1'b1;
            end
            16'h8863, 16'h8864: r.pppoe = 1'b1;
            16'h8847, 16'h8848: r.mpls = 1'b1;
            // ARP, LLDP, loopback, EAPOL, slow protocols, PROFINET, GOOSE, SV, EtherCAT, PTP: hold no IP.
            16'h0806, 16'h8035, 16'h88cc, 16'h9000, 16'h888e, 16'h8809, 16'h8892, 16'h88b8,
            16'h88ba, 16'h88a4, 16'h88f7:
            r.non_ip = 1'b1;
            // 802.3 length: plain LLC holds no IP, SNAP may. Bytes behind the frame are 0.
            [16'h0000 : 16'h05ff]: begin
              r.non_ip = 1'b1;
              r.malformed = words[r.header][15:0] == 16'haaaa;
            end
            default: begin
              r.non_ip = 1'b1;
              r.malformed = 1'b1;
            end
          endcase
        end
      end
    end
    return r;
  endfunction

  // Ones' complement sum is that of a valid checksum (RFC 1071). One carry round is enough: the upper half counts the
  // carries of at most 2^15 words.
  function automatic logic sum_is_valid(input logic [31:0] total);
    return 17'(total[31:16]) + 17'(total[15:0]) == 17'h0ffff;
  endfunction

  // Length of a TCP option that the kind allows.
  function automatic logic option_length_is_known(input logic [7:0] kind,
                                                  input logic [7:0] length);
    unique case (kind)
      8'd2: return length == 8'd4;
      8'd3: return length == 8'd3;
      8'd4: return length == 8'd2;
      8'd5: return length inside {8'd10, 8'd18, 8'd26, 8'd34};
      8'd8: return length == 8'd10;
      8'd19: return length == 8'd18;
      8'd29: return length >= 8'd4;
      8'd34: return length == 8'd2 || (length inside {[8'd6 : 8'd18]} && !length[0]);
      8'd253, 8'd254: return length inside {8'd4, 8'd12};
      default: return 1'b1;
    endcase
  endfunction

  // What was collected of a frame before its headers are judged.
  typedef struct packed {
    link_result_t link;
    link_e        kind;
    place_t       length_of;                       // bytes of the frame
    logic         truncated;                       // fewer than on the wire
    logic [HEADER_WORDS-1:0][31:0] network;        // words of the IP header
  } network_t;

  typedef struct packed {
    network_t     network;
    chain_t       chain;
    logic [HEADER_WORDS-1:0][31:0] transport;      // words of the transport header
    logic [3:0][31:0] first;                       // first words of the payload
    logic [6:0][7:0]  last;                        // seven bytes before the payload's end
    logic [31:0]  network_sum;                     // checksums (RFC 1071), pseudo header included
    logic [31:0]  transport_sum;
  } collected_t;

  // Words between the transport header's beginning and its payload.
  function automatic logic [3:0] transport_words(input logic [7:0] protocol, input logic six,
                                                 input logic [3:0] offset);
    unique case (protocol)
      PROTOCOL_TCP: return offset;
      PROTOCOL_UDP: return 4'd2;
      PROTOCOL_ICMP: return six ? 4'd0 : 4'd2;
      PROTOCOL_ICMP6: return six ? 4'd2 : 4'd0;
      PROTOCOL_SCTP: return 4'd3;
      default: return 4'd0;
    endcase
  endfunction

  // The headers judged; mirrors hw-sim/src/parse.rs.
  function automatic parsed_t parse_finish(input parse_config_t config_of, input collected_t c,
                                           input logic network_options_odd,
                                           input logic transport_options_odd,
                                           input logic has_timestamp,
                                           input logic [31:0] timestamp);
    parsed_t p;
    network_t n;
    logic [9:0][31:0] h;
    logic [4:0][31:0] t;
    place_t length, at, last, segment, start, payload;
    logic [15:0] total, udp_length;
    logic reserved, fragment;
    logic [3:0] words, version;
    logic transport, judged, sums, sum_good, icmp, error, tunnel;
    logic [7:0] f;

    p = '0;
    n = c.network;
    h = n.network[9:0];
    t = c.transport[4:0];
    length = n.length_of - shift_of(n.kind);  // as a place; an IP header is behind the shift
    at = {15'd0, n.link.header, 2'b00};
    version = h[0][7:4];
    transport = 1'b0;
    last = '0;
    start = '0;

    p.length_of = n.length_of;
    p.payload_start = n.length_of;
    p.payload_end = n.length_of;
    p.vlan = n.link.vlan;
    p.guards[GUARD_TRUNCATED_CAPTURE] = n.truncated;
    p.guards[GUARD_NON_IP] = n.link.non_ip;
    p.guards[GUARD_MALFORMED_LINK] = n.link.malformed;
    p.guards[GUARD_UNSUPPORTED_LINK] = n.link.unsupported;
    p.guards[GUARD_VLAN_DEPTH] = n.link.depth;
    p.guards[GUARD_TUNNEL_MPLS] = n.link.mpls;
    p.guards[GUARD_TUNNEL_PPPOE] = n.link.pppoe;

    // ---- IPv4 (RFC 791)
    if (n.link.ip && !n.link.six) begin
      total = be16(h[0][31:16]);
      reserved = h[1][23];
      fragment = h[1][21:16] != '0 || h[1][31:24] != '0;
      words = h[0][3:0];
      last = at + place_t'(total);
      start = at + place_t'({words, 2'b00});
      if (version != 4'd4 || words < 4'd5 || total < 16'({words, 2'b00}) || length < start) begin
        p.guards[GUARD_MALFORMED_IP] = 1'b1;
      end else begin
        p.guards[GUARD_IP_OPTIONS] = words > 4'd5;
        if (network_options_odd) begin
          p.guards[GUARD_MALFORMED_IP] = 1'b1;
        end else begin
          p.guards[GUARD_CHECKSUM_IP] = config_of.checksums && !sum_is_valid(c.network_sum);
          p.has_ends = 1'b1;
          p.source = 128'(h[3]);
          p.destination = 128'(h[4]);
          p.protocol = h[2][15:8];
          p.guards[GUARD_HEADER_ODD] = reserved || h[2][7:0] == '0 ||
                                       (last < length && n.length_of > PADDED);
          if (last > length) p.guards[GUARD_TRUNCATED_CAPTURE] = 1'b1;
          else if (fragment) p.guards[GUARD_IP_FRAGMENT] = 1'b1;
          else transport = 1'b1;
        end
      end
    end

    // ---- IPv6 (RFC 8200)
    if (n.link.ip && n.link.six) begin
      total = be16(h[1][15:0]);
      last = at + place_t'(40) + place_t'(total);
      start = {c.chain.header, 2'b00};
      if (version != 4'd6 || length < at + place_t'(40) || total == '0) begin
        p.guards[GUARD_MALFORMED_IP] = 1'b1;
      end else begin
        p.has_ends = 1'b1;
        p.six = 1'b1;
        p.source = h[5:2];
        p.destination = h[9:6];
        p.protocol = h[1][23:16];
        p.guards[GUARD_HEADER_ODD] = h[1][31:24] == '0 ||
                                     (last < length && n.length_of > PADDED);
        if (last > length) begin
          p.guards[GUARD_TRUNCATED_CAPTURE] = 1'b1;
        end else begin
          p.protocol = c.chain.protocol;
          p.guards[GUARD_EXT_HEADER] = c.chain.extension;
          unique case (c.chain.state)
            CHAIN_TRANSPORT: transport = 1'b1;
            CHAIN_FRAGMENT: p.guards[GUARD_IP_FRAGMENT] = 1'b1;
            CHAIN_UNKNOWN, CHAIN_WALK: p.guards[GUARD_EXT_HEADER_UNKNOWN] = 1'b1;
            default: p.guards[GUARD_MALFORMED_IP] = 1'b1;
          endcase
        end
      end
    end

    // ---- transport
    if (transport) begin
      segment = last - start;
      words = transport_words(p.protocol, p.six, t[3][7:4]);
      payload = start + place_t'({words, 2'b00});
      udp_length = be16(t[1][15:0]);
      icmp = p.protocol == (p.six ? PROTOCOL_ICMP6 : PROTOCOL_ICMP);
      judged = 1'b1;  // what is asked of every transport follows
      sums = 1'b0;
      tunnel = 1'b0;
      f = t[3][15:8];
      unique case (p.protocol)
        PROTOCOL_TCP: begin
          p.tcp = words >= 4'd5 && payload <= last;
          p.keyed = p.tcp;
          sums = 1'b1;
          if (p.tcp) begin
            p.source_port = be16(t[0][15:0]);
            p.destination_port = be16(t[0][31:16]);
            p.number = be32(t[1]);
            p.acknowledgement = be32(t[2]);
            p.tcp_flags = f;
            p.has_timestamp = has_timestamp;
            p.timestamp = has_timestamp ? timestamp : '0;
            p.guards[GUARD_TCP_OPTIONS_ODD] = transport_options_odd;
            p.guards[GUARD_TCP_FLAGS_ODD] = f[5:0] == '0 || (f & 8'h03) == 8'h03 ||
                (f & 8'h06) == 8'h06 || (f & 8'h05) == 8'h05 || (f & 8'h11) == 8'h01 ||
                (f & 8'h29) == 8'h29;
            p.guards[GUARD_URGENT] = f[5] || t[4][31:16] != '0;
            p.guards[GUARD_RESET] = f[2];
          end else begin
            p.guards[GUARD_MALFORMED_TRANSPORT] = 1'b1;
          end
        end
        PROTOCOL_UDP: begin
          sums = 1'b1;
          if (udp_length < 16'd8 || segment < place_t'(8)) begin
            p.guards[GUARD_MALFORMED_TRANSPORT] = 1'b1;
          end else begin
            p.source_port = be16(t[0][15:0]);
            p.destination_port = be16(t[0][31:16]);
            for (int unsigned i = 0; i < 8; i++) begin
              tunnel |= config_of.tunnel_ports[i] != '0 &&
                        (config_of.tunnel_ports[i] == p.source_port ||
                         config_of.tunnel_ports[i] == p.destination_port);
            end
            if (place_t'(udp_length) > segment) begin
              p.guards[GUARD_MALFORMED_TRANSPORT] = 1'b1;
              judged = 1'b0;
            end else begin
              p.guards[GUARD_HEADER_ODD] |= place_t'(udp_length) < segment;
              p.guards[GUARD_TUNNEL_UDP] = tunnel;
              judged = !tunnel;
              p.keyed = !tunnel;
              last = start + place_t'(udp_length);
            end
          end
        end
        PROTOCOL_SCTP: begin
          p.keyed = segment >= place_t'(12);
          judged = p.keyed;
          p.guards[GUARD_MALFORMED_TRANSPORT] = !p.keyed;
          if (p.keyed) begin
            p.source_port = be16(t[0][15:0]);
            p.destination_port = be16(t[0][31:16]);
          end
        end
        8'd4, 8'd41: begin
          p.guards[GUARD_TUNNEL_IP] = 1'b1;
          judged = 1'b0;
        end
        8'd47: begin
          p.guards[GUARD_TUNNEL_GRE] = 1'b1;
          judged = 1'b0;
        end
        default: begin
          p.keyed = !icmp || segment >= place_t'(8);
          p.guards[GUARD_MALFORMED_TRANSPORT] = !p.keyed;
          p.icmp = icmp && p.keyed;
          sums = p.icmp;
          if (p.icmp) begin
            p.icmp_type = t[0][7:0];
            p.icmp_code = t[0][15:8];
            error = p.six ? !p.icmp_type[7]
                          : p.icmp_type inside {8'd3, 8'd4, 8'd5, 8'd11, 8'd12};
            p.guards[GUARD_ICMP_ERROR] = error;
          end
        end
      endcase
      // RFC 768: UDP checksum 0 is none; RFC 8200 forbids that with IPv6 and the host judges.
      sum_good = p.protocol == PROTOCOL_UDP && t[1][31:16] == '0 ? !p.six
                                                                 : sum_is_valid(c.transport_sum);
      if (judged) begin
        p.guards[GUARD_CHECKSUM_L4] = config_of.checksums && p.keyed && sums && !sum_good;
        p.guards[GUARD_HEADER_ODD] |= p.source == p.destination ||
            (p.protocol inside {PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_SCTP} &&
             (p.source_port == '0 || p.destination_port == '0));
      end
      if (p.keyed) begin
        p.payload_start = payload + shift_of(n.kind);
        p.payload_end = last + shift_of(n.kind);
        payload = last - payload;  // now its length
        p.first_count = payload > place_t'(16) ? 5'd16 : payload[4:0];
        p.last_count = payload > place_t'(7) ? 3'd7 : payload[2:0];
        for (int unsigned i = 0; i < 16; i++) begin
          if (5'(i) < p.first_count) p.first[i] = c.first[i/4][i%4*8+:8];
        end
        for (int unsigned i = 0; i < 7; i++) begin
          if (3'(6 - i) < p.last_count) p.last[i] = c.last[i];
        end
      end
    end
    return p;
  endfunction

endpackage

`default_nettype wire
