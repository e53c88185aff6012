// Facts of DNS and TLS messages in a payload: hw/contract/src/facts.rs, `dns_facts` and `tls_spans`.
//
// Function: steps through a frame in the frame buffer. DNS: the names of at most four questions, a label at a time. TLS:
// words of 64 bytes are searched for what can be a handshake record's header; each such place is followed over at most
// eight messages. Latency: 3 cycles per word searched, 2 per byte looked at; 1 where nothing is wanted. Throughput: one
// frame at a time. Back-pressure: valid_o.
//
// A stream's tail counts only to tell that a record follows ChangeCipherSpec; without it there are more facts, never fewer.
`default_nettype none

module weir_message_facts
  import weir_contract_pkg::*;
  import weir_parse_pkg::*;
(
    input  wire logic            clk_i,
    input  wire logic            rst_i,
    input  wire logic            start_i,
    input  wire logic            dns_i,         // wanted
    input  wire logic            tls_i,         // wanted
    input  wire logic            datagram_i,
    input  wire logic [15:0]     word_i,        // the frame's first word
    input  wire place_t          begin_i,       // payload within the frame
    input  wire place_t          last_i,        // behind it
    input  wire logic [2:0]      tail_count_i,  // bytes of the stream before the payload
    input  wire logic [6:0][7:0] tail_i,        // [0] is the first
    output logic [15:0]          address_o,     // to the buffer
    input  wire logic [63:0][7:0] data_i,       // of the address in the cycle before
    output logic                 valid_o,       // until the next start
    output logic [63:0]          facts_o
);

  localparam logic [15:0] QUESTIONS = 16'd4;
  localparam logic [3:0] MESSAGES = 4'd8;

  typedef enum logic [3:0] {
    IDLE, DNS_LENGTH, DNS_COUNT, DNS_LABEL, DNS_TYPE, TLS_WORD, TLS_MASK, TLS_PICK, TLS_HEADER, TLS_BEFORE, TLS_LENGTH,
    TLS_MESSAGE, DONE
  } state_e;

  state_e state_q;
  logic use_q, dns, tls_q;   // the byte at `at_q` is there in the second of two cycles
  place_t at_q, candidate_q, next_name;
  logic [7:0] value, earlier;
  logic there;
  logic [3:0] step_q;
  logic [23:0] number_q, number;
  logic [15:0] count_q, questions_q, length_q;
  logic [8:0] name_q;
  logic [24:0] body_q, body;  // how far messages reach in the record
  logic [3:0] messages_q;
  logic [13:0] scan_q;        // word searched
  logic [63:0] mask, mask_q;
  logic [5:0] lowest;
  logic ccs_q;

  assign address_o = word_i + (state_q inside {TLS_WORD, TLS_MASK} ? 16'(scan_q) : 16'(at_q[19:6]));
  assign value = data_i[at_q[5:0]];
  assign there = at_q < last_i;
  assign number = {number_q[15:0], value};
  assign next_name = at_q + place_t'(value) + place_t'(1);
  assign body = body_q + 25'd4 + 25'(number);
  assign dns = start_i && dns_i;

  // ---- what can be a record's header: the second byte may lie in the next word, or beyond the payload
  always_comb begin
    for (int unsigned b = 0; b < 64; b++) begin
      mask[b] = data_i[b] == 8'd22 && {scan_q, 6'(b)} >= begin_i && {scan_q, 6'(b)} < last_i &&
                (b == 63 || {scan_q, 6'(b)} + place_t'(1) == last_i || data_i[6'(b+1)] == 8'd3);
    end
    lowest = '0;
    for (int unsigned b = 64; b > 0; b--) if (mask_q[b-1]) lowest = 6'(b - 1);
    // The byte before the candidate that is asked for, from the payload or the tail.
    earlier = value;
    if (at_q < begin_i) earlier = tail_i[3'(place_t'(tail_count_i) - (begin_i - at_q))];
  end

  always_ff @(posedge clk_i) begin
    use_q <= !use_q;
    unique case (state_q)
      IDLE: ;
      // ---- DNS (RFC 1035 section 4.1)
      DNS_LENGTH: begin
        // Over TCP a length stands before the message.
        if (use_q) begin
          at_q <= at_q + place_t'(1);
          number_q <= number;
          step_q <= step_q + 4'd1;
          if (step_q == 4'd1) begin
            at_q <= begin_i + place_t'(2 + 4);
            step_q <= '0;
            state_q <= DNS_COUNT;
            if (place_t'(number[15:0]) + place_t'(2) + begin_i != last_i ||
                last_i < begin_i + place_t'(2 + 12)) begin
              facts_o[GUARD_DNS_ODD] <= 1'b1;
              state_q <= tls_q ? TLS_WORD : DONE;
            end
          end
        end
      end
      DNS_COUNT:
      if (use_q) begin
        at_q <= at_q + place_t'(1);
        number_q <= number;
        step_q <= step_q + 4'd1;
        if (step_q == 4'd1) begin
          count_q <= number[15:0];
          questions_q <= '0;
          name_q <= '0;
          facts_o[GUARD_DNS_ODD] <= number[15:0] != 16'd1;
          at_q <= at_q + place_t'(7);
          state_q <= DNS_LABEL;
          if (number[15:0] == '0) state_q <= tls_q ? TLS_WORD : DONE;
        end
      end
      DNS_LABEL:
      if (use_q) begin
        name_q <= name_q + 9'(value) + 9'd1;
        at_q   <= next_name;
        if (value[7:6] != '0 && there) begin
          facts_o[GUARD_DNS_POINTER_QUESTION] <= 1'b1;
          state_q <= tls_q ? TLS_WORD : DONE;
        end else if (!there || 10'(name_q) + 10'(value) + 10'd1 > 10'd255 || next_name > last_i) begin
          facts_o[GUARD_DNS_ODD] <= 1'b1;
          state_q <= tls_q ? TLS_WORD : DONE;
        end else if (value == '0) begin
          questions_q <= questions_q + 16'd1;
          state_q <= DNS_TYPE;
        end
      end
      DNS_TYPE: begin
        // Type and class.
        at_q <= at_q + place_t'(4);
        name_q <= '0;
        use_q <= 1'b0;
        state_q <= DNS_LABEL;
        if (at_q + place_t'(4) > last_i) begin
          facts_o[GUARD_DNS_ODD] <= 1'b1;
          state_q <= tls_q ? TLS_WORD : DONE;
        end else if (questions_q == count_q || questions_q == QUESTIONS) begin
          if (count_q > QUESTIONS) facts_o[GUARD_DNS_POINTER_QUESTION] <= 1'b1;
          state_q <= tls_q ? TLS_WORD : DONE;
        end
      end
      // ---- TLS (RFC 8446 section 5.1)
      TLS_WORD: state_q <= TLS_MASK;
      TLS_MASK: begin
        mask_q  <= mask;
        state_q <= TLS_PICK;
      end
      TLS_PICK: begin
        candidate_q <= {scan_q, lowest};
        at_q <= {scan_q, lowest} + place_t'(1);
        step_q <= '0;
        use_q <= 1'b0;
        if (mask_q != '0) begin
          mask_q[lowest] <= 1'b0;
          state_q <= TLS_HEADER;
        end else begin
          scan_q  <= scan_q + 14'd1;
          state_q <= {scan_q + 14'd1, 6'd0} < last_i ? TLS_WORD : DONE;
        end
      end
      TLS_HEADER:
      if (use_q) begin
        at_q   <= at_q + place_t'(1);
        step_q <= 4'd1;
        if (there && (step_q == '0 ? value != 8'd3 : value > 8'd4)) begin
          state_q <= TLS_PICK;
        end else if (step_q == 4'd1) begin
          // The six bytes earlier; they must all be there.
          at_q <= candidate_q - place_t'(6);
          step_q <= '0;
          ccs_q <= 1'b1;
          state_q <= TLS_BEFORE;
        end
      end
      TLS_BEFORE:
      if (use_q) begin
        at_q   <= at_q + place_t'(1);
        step_q <= step_q + 4'd1;
        if (at_q < begin_i && begin_i - at_q > place_t'(tail_count_i)) ccs_q <= 1'b0;
        unique case (step_q)
          4'd0: if (earlier != 8'd20) ccs_q <= 1'b0;
          4'd1: if (earlier != 8'd3) ccs_q <= 1'b0;
          4'd2: if (earlier > 8'd4) ccs_q <= 1'b0;
          4'd3: if (earlier != 8'd0) ccs_q <= 1'b0;
          4'd4: if (earlier != 8'd1) ccs_q <= 1'b0;
          default: begin
            at_q <= candidate_q + place_t'(3);
            step_q <= '0;
            // What follows ChangeCipherSpec is encrypted.
            state_q <= ccs_q && earlier == 8'd1 ? TLS_PICK : TLS_LENGTH;
          end
        endcase
      end
      TLS_LENGTH:
      if (use_q) begin
        at_q <= at_q + place_t'(1);
        number_q <= number;
        step_q <= step_q + 4'd1;
        if (!there) begin
          facts_o[GUARD_TLS_HANDSHAKE_SPANS] <= 1'b1;
          state_q <= DONE;
        end else if (step_q == 4'd1) begin
          length_q <= number[15:0];
          body_q <= '0;
          messages_q <= '0;
          step_q <= '0;
          state_q <= TLS_MESSAGE;
        end
      end
      TLS_MESSAGE:
      if (use_q) begin
        at_q <= at_q + place_t'(1);
        number_q <= number;
        step_q <= step_q + 4'd1;
        if (!there || messages_q == MESSAGES) begin
          facts_o[GUARD_TLS_HANDSHAKE_SPANS] <= 1'b1;
          state_q <= DONE;
        end else if (step_q == 4'd3) begin
          body_q <= body;
          messages_q <= messages_q + 4'd1;
          step_q <= '0;
          // Far beyond every payload: no more is there.
          at_q <= body[24:19] != '0 ? '1 : candidate_q + place_t'(5) + place_t'(body[19:0]);
          if (body == 25'(length_q)) begin
            state_q <= TLS_PICK;
          end else if (body > 25'(length_q)) begin
            facts_o[GUARD_TLS_HANDSHAKE_SPANS] <= 1'b1;
            state_q <= DONE;
          end
        end
      end
      default: ;
    endcase
    if (start_i) begin
      facts_o <= '0;
      tls_q <= tls_i;
      use_q <= 1'b0;
      step_q <= '0;
      scan_q <= begin_i[19:6];
      at_q <= datagram_i ? begin_i + place_t'(4) : begin_i;
      state_q <= tls_i ? TLS_WORD : DONE;
      if (dns) begin
        state_q <= datagram_i ? DNS_COUNT : DNS_LENGTH;
        if (last_i < begin_i + (datagram_i ? place_t'(12) : place_t'(2))) begin
          facts_o[GUARD_DNS_ODD] <= 1'b1;
          state_q <= tls_i ? TLS_WORD : DONE;
        end
      end
    end
    if (rst_i) state_q <= IDLE;
  end

  assign valid_o = state_q == DONE;

endmodule

`default_nettype wire
