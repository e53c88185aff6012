// Collects M words that begin at a word of the frame.
// Function: as the beats of a frame pass, keeps words header_i .. header_i + M - 1; what has not come is 0. header_i must
// be known when its beat passes, and stay. Latency: none at words_o (the beat at hand is in), 1 cycle at held_o.
// Throughput: one beat per cycle. Back-pressure: none.
`default_nettype none

module weir_parse_collect
  import weir_parse_pkg::*;
#(
    parameter int unsigned N = 16,  // words of a beat
    parameter int unsigned M = 15   // words collected
) (
    input  wire logic              clk_i,
    input  wire logic              valid_i,
    input  wire logic              first_i,
    input  wire word_index_t       base_i,
    input  wire logic [N-1:0][31:0] beat_i,
    input  wire logic              known_i,   // header_i holds
    input  wire word_index_t       header_i,
    output logic      [M-1:0][31:0] words_o,
    output logic      [M-1:0][31:0] held_o
);

  localparam int unsigned LANE = $clog2(N);

  logic [M-1:0][31:0] words_q;
  logic [N-1:0][31:0] turned;

  logic [LANE-1:0] lane;

  always_comb begin
    for (int unsigned n = 0; n < N; n++) begin
      lane = LANE'(n) + header_i[LANE-1:0];
      turned[n] = beat_i[lane];
    end
    for (int unsigned m = 0; m < M; m++) begin
      words_o[m] = first_i ? '0 : words_q[m];
      if (known_i && 18'((header_i + word_index_t'(m)) >> LANE) == 18'(base_i >> LANE)) begin
        words_o[m] = turned[m%N];
      end
    end
  end

  assign held_o = words_q;
  always_ff @(posedge clk_i) if (valid_i) words_q <= words_o;

endmodule

`default_nettype wire
