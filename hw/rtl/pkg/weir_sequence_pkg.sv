// The TCP sequence function in one cycle: the same as hw/contract/src/sequence.rs, tested against it.
`default_nettype none

package weir_sequence_pkg;

  // State of one direction.
  typedef struct packed {
    logic        valid;      // the SYN was seen, next holds
    logic [31:0] next;       // next expected sequence number
    logic        ack_valid;  // something was acknowledged, ack holds
    logic [31:0] ack;        // highest acknowledgement number sent
  } direction_state_t;

  // State of a flow; [0] is the initiator's direction.
  typedef direction_state_t [1:0] sequence_state_t;

  // What a segment is to its direction.
  typedef enum logic [3:0] {
    SEGMENT_EMPTY          = 4'd0,
    SEGMENT_IN_ORDER       = 4'd1,
    SEGMENT_ACKED          = 4'd2,
    SEGMENT_UNTRACKED      = 4'd3,
    TROUBLE_GAP            = 4'd8,
    TROUBLE_OVERLAP        = 4'd9,
    TROUBLE_RETRANSMISSION = 4'd10,
    TROUBLE_SYN_DATA       = 4'd11,
    TROUBLE_SYN_CHANGE     = 4'd12,
    TROUBLE_RST_DATA       = 4'd13,
    TROUBLE_URGENT         = 4'd14
  } segment_class_e;

  typedef struct packed {
    sequence_state_t state;
    segment_class_e  kind;
  } sequence_result_t;

  localparam int unsigned FLAG_FIN = 0;
  localparam int unsigned FLAG_SYN = 1;
  localparam int unsigned FLAG_RST = 2;
  localparam int unsigned FLAG_ACK = 4;
  localparam int unsigned FLAG_URG = 5;

  // a - b in serial arithmetic is above zero.
  function automatic logic after(input logic [31:0] a, input logic [31:0] b);
    logic [31:0] difference;
    difference = a - b;
    return !difference[31] && difference != '0;
  endfunction

  function automatic sequence_result_t sequence_update(
      input sequence_state_t state, input logic direction, input logic [31:0] number,
      input logic [31:0] acknowledgement, input logic [7:0] flags, input logic [15:0] payload);
    sequence_result_t r;
    direction_state_t own;
    direction_state_t other;
    logic [31:0] length;
    logic [31:0] last;
    logic empty;
    logic repeated;
    logic fresh;
    logic beyond;
    logic ahead_zero;
    logic ahead;

    own = state[direction];
    other = state[!direction];
    length = 32'(payload);
    empty = payload == '0;
    last = number + length;
    ahead_zero = number == own.next;
    ahead = after(number, own.next);
    beyond = after(last, own.next);
    repeated = own.valid && own.next == number + 32'd1;
    fresh = !own.valid && !other.valid;
    r.kind = SEGMENT_EMPTY;

    if (flags[FLAG_SYN]) begin
      if (flags[FLAG_ACK] && !other.valid) begin
        r.kind = empty ? SEGMENT_EMPTY : SEGMENT_UNTRACKED;
      end else begin
        if (flags[FLAG_ACK]) begin
          if (own.valid && !repeated) r.kind = TROUBLE_SYN_CHANGE;
        end else begin
          if (!repeated && !fresh) r.kind = TROUBLE_SYN_CHANGE;
          if (!repeated) begin
            own = '0;
            other = '0;
          end
        end
        own.valid = 1'b1;
        own.next = last + 32'd1;
        if (!empty) r.kind = TROUBLE_SYN_DATA;
      end
    end else if (!own.valid) begin
      r.kind = empty ? SEGMENT_EMPTY : SEGMENT_UNTRACKED;
    end else if (empty) begin
      if (ahead_zero) own.next = own.next + 32'(flags[FLAG_FIN]);
    end else begin
      if (ahead_zero) r.kind = SEGMENT_IN_ORDER;
      else if (ahead) r.kind = TROUBLE_GAP;
      else if (beyond) r.kind = TROUBLE_OVERLAP;
      else if (other.ack_valid && !after(last, other.ack)) r.kind = SEGMENT_ACKED;
      else r.kind = TROUBLE_RETRANSMISSION;
      if (beyond) own.next = last + 32'(flags[FLAG_FIN]);
      if (flags[FLAG_RST]) r.kind = TROUBLE_RST_DATA;
      else if (flags[FLAG_URG]) r.kind = TROUBLE_URGENT;
    end

    if (flags[FLAG_ACK] && (!own.ack_valid || after(acknowledgement, own.ack))) begin
      own.ack = acknowledgement;
      own.ack_valid = 1'b1;
    end

    r.state[direction] = own;
    r.state[!direction] = other;
    return r;
  endfunction

endpackage

`default_nettype wire
