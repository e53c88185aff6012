// Walks over the options of an IPv4 or a TCP header.
// Function: tells whether they can be taken apart (RFC 791 section 3.1; RFC 9293 section 3.1, with the lengths that
// known kinds must have and no kind twice), and the value of the timestamp option (RFC 7323). Latency: 10 cycles.
// Throughput: one header per cycle. Back-pressure: none.
//
// Each stage looks at four bytes; where the next option begins travels along.
`default_nettype none

module weir_option_walk
  import weir_parse_pkg::*;
#(
    parameter bit TCP = 1'b1  // TCP options, else IPv4 options
) (
    input  wire logic             clk_i,
    input  wire logic             rst_i,
    input  wire logic             valid_i,
    input  wire logic [39:0][7:0] options_i,
    input  wire logic [ 5:0]      count_i,          // bytes, at most 40
    output logic                  valid_o,
    output logic                  odd_o,
    output logic                  has_timestamp_o,
    output logic      [31:0]      timestamp_o
);

  localparam int unsigned STAGES = 10;
  localparam int unsigned STEP = 4;

  typedef struct packed {
    logic        valid;
    logic [5:0]  count;      // bytes that are left, from this stage's first on
    logic [7:0]  skip;       // bytes until the next option begins
    logic        done;
    logic        odd;
    logic [31:0] seen;       // kinds; those from 32 on share a bit
    logic        has_timestamp;
    logic [31:0] timestamp;
  } walk_t;

  walk_t walk_q[STAGES+1];
  logic [39:0][7:0] bytes_q[STAGES+1];

  function automatic walk_t advance(input walk_t from, input logic [8:0][7:0] bytes);
    walk_t w;
    logic [7:0] kind, length;
    logic [4:0] slot;
    logic good;
    w = from;
    for (int unsigned n = 0; n < STEP; n++) begin
      kind = bytes[n];
      // Behind the end there is no length byte; no length would be good there.
      length = bytes[n+1];
      if (!w.done && w.skip == '0) begin
        if (6'(n) >= from.count || kind == 8'd0) begin
          w.done = 1'b1;
        end else if (kind == 8'd1) begin
          w.skip = 8'd1;
        end else begin
          slot = kind < 8'd32 ? kind[4:0] : 5'd0;
          good = length >= 8'd2 && length <= 8'(from.count) - 8'(n);
          if (TCP) good = good && option_length_is_known(kind, length) && !w.seen[slot];
          else good = good || 6'(n) + 6'd1 == from.count;
          w.seen[slot] = 1'b1;
          if (!good) begin
            w.odd  = 1'b1;
            w.done = 1'b1;
          end else if (TCP && kind == 8'd8) begin
            w.has_timestamp = 1'b1;
            w.timestamp = be32(bytes[n+2+:4]);
          end
          w.skip = length;
        end
      end
      if (w.skip != '0) w.skip = w.skip - 8'd1;
    end
    w.count = from.count > 6'(STEP) ? from.count - 6'(STEP) : '0;
    return w;
  endfunction

  always_comb begin
    walk_q[0] = '0;
    walk_q[0].valid = valid_i;
    walk_q[0].count = count_i;
    bytes_q[0] = options_i;
  end

  for (genvar s = 0; s < STAGES; s++) begin : g_stage
    always_ff @(posedge clk_i) begin
      walk_q[s+1] <= advance(walk_q[s], bytes_q[s][8:0]);
      bytes_q[s+1] <= bytes_q[s] >> (8 * STEP);
      if (rst_i) walk_q[s+1].valid <= 1'b0;
    end
  end

  assign valid_o = walk_q[STAGES].valid;
  assign odd_o = walk_q[STAGES].odd;
  assign has_timestamp_o = walk_q[STAGES].has_timestamp;
  assign timestamp_o = walk_q[STAGES].timestamp;

endmodule

`default_nettype wire
