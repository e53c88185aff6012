// Candidates of a frame, one by one.
// Function: queues beats that have candidates, takes them by position, then by length, and counts; behind the limit of the
// frame nothing is taken, and the ending says so. Latency: 2 cycles from a beat to its first candidate. Throughput: one
// candidate per cycle; a beat without candidates costs nothing, a frame one cycle at least. Back-pressure: room_o, which
// falls while DEPTH beats with candidates may be under way.
`default_nettype none

module weir_match_pick
  import weir_match_pkg::*;
#(
    parameter int unsigned BYTES = 64,      // bytes of a beat
    parameter int unsigned DEPTH_BITS = 5,  // log2 of the queue
    parameter int unsigned UNDER_WAY = 8    // beats that may still come while room_o is down
) (
    input  wire logic                                clk_i,
    input  wire logic                                rst_i,
    input  wire logic     [1:0][31:0]                limit_i,      // by bank
    output logic                                     room_o,
    input  wire logic                                valid_i,
    input  wire logic                                last_i,
    input  wire logic                                bank_i,
    input  wire logic signed [20:0]                  position_i,
    input  wire logic     [BYTES+REACH-1:0][7:0]     folded_i,
    input  wire logic     [BYTES+REACH-1:0]          upper_i,
    input  wire logic     [BYTES+REACH-1:0]          known_i,
    input  wire logic     [LENGTHS-1:0][BYTES-1:0]   pass_i,
    input  wire logic                                ready_i,
    output logic                                     valid_o,      // candidate_o holds
    output candidate_t                               candidate_o,
    output logic                                     ending_o,     // the frame ends behind this candidate, if any
    output scan_total_t                              total_o
);

  localparam int unsigned LANE = $clog2(BYTES);

  typedef struct packed {
    logic                        last;
    logic                        bank;
    logic signed [20:0]          position;
    logic [BYTES+REACH-1:0][7:0] folded;
    logic [BYTES+REACH-1:0]      upper;
    logic [BYTES+REACH-1:0]      known;
    logic [LENGTHS-1:0][BYTES-1:0] pass;
  } entry_t;

  entry_t entry_in, head;
  logic head_valid, pop, push;
  logic [DEPTH_BITS:0] level_q;
  assign entry_in = '{
      last: last_i,
      bank: bank_i,
      position: position_i,
      folded: folded_i,
      upper: upper_i,
      known: known_i,
      pass: pass_i
  };
  assign push = valid_i && (last_i || pass_i != '0);

  weir_fifo #(
      .DEPTH_BITS(DEPTH_BITS),
      .DATA_BITS ($bits(entry_t))
  ) beats (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .push_i (push),
      .data_i (entry_in),
      .valid_o(head_valid),
      .data_o (head),
      .pop_i  (pop)
  );

  // ---- the first that is left
  logic [LENGTHS-1:0][BYTES-1:0] done_q, left, after;
  logic [BYTES-1:0] any;
  logic [LANE-1:0] lane;
  logic [2:0] length_of;
  logic found, over, take, at_limit;
  logic [31:0] count_q, count;
  scan_total_t total_q, total;
  candidate_t candidate;

  always_comb begin
    left = head.pass & ~done_q;
    any  = '0;
    for (int unsigned n = 0; n < LENGTHS; n++) any = any | left[n];
    lane = '0;
    for (int unsigned b = BYTES; b > 0; b--) if (any[b-1]) lane = LANE'(b - 1);
    length_of = '0;
    for (int unsigned n = LENGTHS; n > 0; n--) if (left[n-1][lane]) length_of = 3'(n - 1);
    found = any != '0;
    at_limit = total_q.limit || count_q >= limit_i[head.bank];
    take = found && !at_limit;
    after = left;
    after[length_of][lane] = 1'b0;
    // The rest of a beat behind the limit is passed over at once.
    over = !take || after == '0;
    total = total_q;
    total.limit = total_q.limit || (found && at_limit);
    if (take) total.candidates[length_of] = total_q.candidates[length_of] + 32'd1;
    count = count_q + 32'(take);
    candidate.bank = head.bank;
    candidate.length_of = length_of;
    candidate.position = head.position + 21'(lane);
    for (int unsigned n = 0; n < 8; n++) begin
      candidate.window[n] = head.folded[32'(lane)+n];
      candidate.upper[n]  = head.upper[32'(lane)+n];
      candidate.known[n]  = head.known[32'(lane)+n];
    end
    pop = head_valid && ready_i && over;
  end

  always_ff @(posedge clk_i) begin
    candidate_o <= candidate;
    total_o <= total;
    // Each beat under way and each in the queue has its place.
    room_o <= level_q < (DEPTH_BITS + 1)'((1 << DEPTH_BITS) - UNDER_WAY);
    if (rst_i) begin
      level_q <= '0;
      done_q <= '0;
      count_q <= '0;
      total_q <= '0;
      valid_o <= 1'b0;
      ending_o <= 1'b0;
      room_o <= 1'b0;
    end else begin
      level_q  <= level_q + (DEPTH_BITS + 1)'(push) - (DEPTH_BITS + 1)'(pop);
      valid_o  <= head_valid && ready_i && take;
      ending_o <= pop && head.last;
      if (head_valid && ready_i) begin
        done_q  <= head.pass & ~after;
        total_q <= total;
        count_q <= count;
        if (over) done_q <= '0;
        if (over && head.last) begin
          total_q <= '0;
          count_q <= '0;
        end
      end
    end
  end

endmodule

`default_nettype wire
