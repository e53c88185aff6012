// Protocol detection: hw/contract/src/protocol.rs in hardware, over the generated table.
`default_nettype none

package weir_detect_pkg;
  import weir_signatures_pkg::*;

  localparam logic [7:0] CLASS_UNKNOWN = 8'd0;  // more bytes are needed
  localparam logic [7:0] CLASS_FAILED = 8'd63;  // none of those that are known

  // What detection has seen of a flow (`Detector`). Bytes behind `length_of` are 0.
  typedef struct packed {
    logic [7:0]            answer;     // class
    logic [1:0]            blind;      // the direction's start was lost
    logic [1:0][4:0]       length_of;
    logic [1:0][15:0][7:0] bytes;
  } detector_t;

  function automatic logic [15:0] pair(input logic [15:0][7:0] b, input logic [3:0] at);
    return {b[at], b[at+4'd1]};
  endfunction

  // `at` is where the DNS header begins (RFC 1035 section 4.1.1).
  function automatic logic dns_is_plausible(input logic [15:0][7:0] b, input logic [3:0] at);
    logic [17:0] records;
    records = 18'(pair(b, at + 4'd4)) + 18'(pair(b, at + 4'd6)) + 18'(pair(b, at + 4'd8)) +
              18'(pair(b, at + 4'd10));
    return records <= 18'd2048;
  endfunction

  function automatic logic check_holds(input check_e check_of, input logic [15:0][7:0] b);
    logic [31:0] version;
    logic [15:0] fragment, length_of;
    logic [3:0] integer_at;
    unique case (check_of)
      CHECK_DNS_0: return dns_is_plausible(b, 4'd0);
      CHECK_DNS_2: return dns_is_plausible(b, 4'd2);
      CHECK_DCE_RPC_TCP: begin
        fragment = b[4][4] ? {b[9], b[8]} : {b[8], b[9]};
        return b[2] <= 8'd19 && (b[4] & 8'hee) == '0 && b[5] <= 8'd3 && fragment >= 16'd16;
      end
      CHECK_DCE_RPC_UDP:
      return b[1] <= 8'd19 && (b[3] & 8'hfc) == '0 && (b[4] & 8'hee) == '0 && b[5] <= 8'd3;
      CHECK_BER_SEQUENCE: begin
        integer_at = b[1][7] ? 4'd2 + 4'(b[1][2:0]) : 4'd2;
        return (!b[1][7] || b[1] inside {[8'h81 : 8'h84]}) && b[integer_at] == 8'h02 &&
               b[integer_at+4'd1] inside {[8'd1 : 8'd4]};
      end
      CHECK_MODBUS: begin
        length_of = pair(b, 4'd4);
        return length_of >= 16'd2 && length_of <= 16'd260 && b[7] != '0;
      end
      CHECK_ENIP:
      return b[1] == '0 && b[0] inside {8'h00, 8'h01, 8'h04, 8'h63, 8'h64, 8'h65, 8'h66, 8'h6f, 8'h70,
                                        8'h72, 8'h73};
      CHECK_QUIC: begin
        version = {b[1], b[2], b[3], b[4]};
        return version inside {32'd1, 32'h6b33_43cf, [32'hff00_0016 : 32'hff00_0022], 32'h5130_3433,
                               32'h5130_3436, 32'h5130_3530};
      end
      CHECK_NTP: return b[0][5:3] inside {[3'd1 : 3'd4]} && b[0][2:0] != '0;
      CHECK_NOT_ZERO: return b[7:0] != '0;
      default: return 1'b1;
    endcase
  endfunction

  // What the first bytes of one direction say by themselves.
  function automatic logic [7:0] detect_side(input logic udp, input logic to_client,
                                             input logic [15:0] client_port,
                                             input logic [15:0] server_port,
                                             input logic [15:0][7:0] bytes, input logic [4:0] count);
    logic [15:0][7:0] behind, b;
    logic [4:0] blank, left, behind_count;
    logic whole, found, applies, differs, enough, server, client;
    logic [7:0] answer;
    signature_t s;

    whole = count == 5'd16 || udp;
    blank = '0;
    found = 1'b0;
    for (int unsigned n = 0; n < 16; n++) begin
      if (5'(n) >= count || !(bytes[n] inside {8'h0d, 8'h0a})) found = 1'b1;
      if (!found) blank = blank + 5'd1;
    end
    behind = bytes >> {blank, 3'b000};
    behind_count = count - blank;
    answer = count == '0 ? CLASS_UNKNOWN : CLASS_FAILED;
    found = count == '0;
    for (int unsigned n = 0; n < SIGNATURES; n++) begin
      s = SIGNATURE[n];
      server = s.port[0] == server_port || s.port[1] == server_port || s.port[2] == server_port;
      client = s.port[0] == client_port || s.port[1] == client_port || s.port[2] == client_port;
      applies = s.udp == udp && (to_client ? s.to_client : s.to_server) &&
                (s.ports == PORTS_ANY || server || (s.ports == PORTS_EITHER && client));
      b = s.after_blank ? behind : bytes;
      left = s.after_blank ? behind_count : count;
      differs = 1'b0;
      for (int unsigned i = 0; i < 16; i++) begin
        if (5'(i) < s.length_of && 5'(i) < left && (b[i] & s.mask[i]) != s.value[i]) differs = 1'b1;
      end
      enough = left >= s.length_of;
      if (enough && !check_holds(s.check_of, b)) differs = 1'b1;
      // What the bytes do not contradict decides; with all bytes there are, only what they are enough for.
      if (!found && applies && !differs && (enough || !whole)) begin
        found  = 1'b1;
        answer = enough ? s.protocol : CLASS_UNKNOWN;
      end
    end
    return answer;
  endfunction

  function automatic logic is_known(input logic [7:0] answer);
    return answer != CLASS_UNKNOWN && answer != CLASS_FAILED;
  endfunction

  function automatic logic [7:0] detect(input logic udp, input logic [15:0] client_port,
                                        input logic [15:0] server_port, input detector_t seen);
    logic [7:0] a, b;
    a = detect_side(udp, 1'b0, client_port, server_port, seen.bytes[0], seen.length_of[0]);
    b = detect_side(udp, 1'b1, client_port, server_port, seen.bytes[1], seen.length_of[1]);
    if (is_known(a)) return a;
    if (is_known(b)) return b;
    return a == CLASS_FAILED && b == CLASS_FAILED ? CLASS_FAILED : CLASS_UNKNOWN;
  endfunction

  // The start of a direction is lost, unless it is complete.
  function automatic detector_t detector_lost(input detector_t seen, input logic direction);
    detector_t after;
    after = seen;
    if (seen.length_of[direction] < 5'd16) begin
      after.blind[direction] = 1'b1;
      after.length_of[direction] = '0;
      after.bytes[direction] = '0;
    end
    return after;
  endfunction

  // The next bytes of a direction; of datagrams the first with payload counts.
  function automatic detector_t detector_push(input detector_t seen, input logic udp,
                                              input logic [15:0] client_port,
                                              input logic [15:0] server_port, input logic direction,
                                              input logic [15:0][7:0] bytes,
                                              input logic [4:0] count);
    detector_t after;
    logic [4:0] have, sum;
    after = seen;
    have  = seen.length_of[direction];
    if (!seen.blind[direction] && have < 5'd16 && !(udp && have != '0)) begin
      sum = 5'd16 - have < count ? 5'd16 : have + count;
      after.bytes[direction] = seen.bytes[direction] | (bytes << {have, 3'b000});
      after.length_of[direction] = sum;
    end
    if (seen.answer == CLASS_UNKNOWN) after.answer = detect(udp, client_port, server_port, after);
    return after;
  endfunction

endpackage

`default_nettype wire
