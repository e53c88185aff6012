// Cuts frames into words that headers begin at.
// Function: bytes of a beat to N words, of an Ethernet frame from byte 2 on (so the last word of a beat takes two bytes
// of the next one). Bytes behind the frame are 0. Latency: 1 cycle behind the beat after it, 1 behind the last beat of a
// frame. Throughput: one beat per cycle. Back-pressure: none.
`default_nettype none

module weir_parse_words
  import weir_parse_pkg::*;
#(
    parameter  int unsigned BYTES = 64,         // bytes of a beat
    localparam int unsigned N     = BYTES / 4,
    localparam int unsigned COUNT = $clog2(BYTES) + 1
) (
    input  wire logic                     clk_i,
    input  wire logic                     rst_i,
    input  wire logic                     valid_i,
    input  wire logic                     last_i,
    input  wire logic [  COUNT-1:0]       count_i,        // bytes: all but in the last beat, there also fewer
    input  wire logic [  BYTES-1:0][ 7:0] data_i,
    input  wire logic [       15:0]       link_i,
    input  wire logic [       31:0]       wire_length_i,
    output logic                          valid_o,
    output logic                          first_o,
    output logic                          last_o,
    output word_index_t                   base_o,         // index of words_o[0]
    output logic      [      N-1:0][31:0] words_o,
    output place_t                        length_o,       // bytes of the frame up to here
    output link_e                         link_o,
    output logic      [       31:0]       wire_length_o
);

  logic held_q, held_first_q, held_last_q, next_first_q;
  logic [BYTES-1:0][7:0] data_q, masked;
  place_t length_q;
  word_index_t base_q;
  link_e link_q;
  logic [31:0] wire_length_q;
  logic [BYTES+1:0][7:0] both;
  logic go;

  always_comb begin
    for (int unsigned b = 0; b < BYTES; b++) masked[b] = COUNT'(b) < count_i ? data_i[b] : '0;
    go   = held_q && (held_last_q || valid_i);
    both = {held_last_q ? 16'd0 : masked[1:0], data_q};
  end

  always_ff @(posedge clk_i) begin
    if (valid_i) begin
      data_q <= masked;
      held_first_q <= next_first_q;
      held_last_q <= last_i;
      link_q <= link_of(link_i);
      wire_length_q <= wire_length_i;
      if (next_first_q) begin
        length_q <= place_t'(count_i);
        base_q   <= '0;
      end else begin
        // Saturating: no header lies that far.
        if (!length_q[19]) length_q <= length_q + place_t'(count_i);
        if (!base_q[17]) base_q <= base_q + word_index_t'(N);
      end
    end
    first_o <= held_first_q;
    last_o <= held_last_q;
    base_o <= base_q;
    length_o <= length_q;
    link_o <= link_q;
    wire_length_o <= wire_length_q;
    for (int unsigned n = 0; n < N; n++) begin
      words_o[n] <= link_q == LINK_ETHERNET ? both[n*4+2+:4] : both[n*4+:4];
    end
    if (rst_i) begin
      held_q <= 1'b0;
      next_first_q <= 1'b1;
      valid_o <= 1'b0;
    end else begin
      if (valid_i) next_first_q <= last_i;
      held_q  <= valid_i || (held_q && !go);
      valid_o <= go;
    end
  end

  if (BYTES != 16 && BYTES != 32 && BYTES != 64) begin : g_check
    $error("BYTES must be 16, 32 or 64");
  end

endmodule

`default_nettype wire
