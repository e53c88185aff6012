// Keeps frames from their first beat until their fate is known.
//
// Function: beats are packed into words of 64 bytes in a ring; a frame's first word and length go with its meta data. What
// lies beyond FRAME_LENGTH_MAX is counted, not kept. Latency: a word can be read in the cycle after its last beat.
// Throughput: one beat and three words read per cycle. Back-pressure: ready_o, which a frame's first beat waits for: there is
// room for the longest frame.
`default_nettype none

module weir_frame_buffer
  import weir_contract_pkg::*;
  import weir_core_pkg::*;
#(
    parameter  int unsigned BYTES = 64,       // bytes of a beat: 16, 32 or 64
    parameter  int unsigned WORDS_LOG2 = 13,  // words of 64 bytes
    localparam int unsigned COUNT = $clog2(BYTES) + 1
) (
    input  wire logic                  clk_i,
    input  wire logic                  rst_i,
    input  wire logic                  valid_i,
    output logic                       ready_o,    // room for a frame
    input  wire logic                  last_i,
    input  wire logic [COUNT-1:0]      count_i,
    input  wire logic [BYTES-1:0][7:0] data_i,
    output logic                       frame_o,    // the frame ended with this beat
    output logic [15:0]                word_o,     // its first word
    output logic [19:0]                length_o,   // its bytes
    input  wire logic [15:0]           address_i,  // read: word, data in the next cycle
    output logic [511:0]               data_o,
    input  wire logic [15:0]           address_b_i,  // a second reader
    output logic [511:0]               data_b_o,
    input  wire logic [15:0]           address_c_i,  // a third
    output logic [511:0]               data_c_o,
    input  wire logic                  free_i,     // the oldest frame is done with
    input  wire logic [15:0]           free_word_i // the first word behind it
);

  localparam int unsigned LANES = 64 / BYTES;
  localparam int unsigned LANE = LANES == 1 ? 1 : $clog2(LANES);
  localparam int unsigned LONGEST = 32'(FRAME_LENGTH_MAX) / 64 + 1;  // words of a frame

  logic [WORDS_LOG2-1:0] first_q, tail_q, head_q;
  logic [LANE-1:0] lane_q;
  logic [511:0] word_q, word;
  logic [19:0] length_q, length;
  logic [WORDS_LOG2-1:0] used;
  logic full, store;

  assign used = tail_q - head_q;
  assign ready_o = 32'(used) + LONGEST < (1 << WORDS_LOG2) - 2;
  always_comb begin
    word = lane_q == '0 ? '0 : word_q;
    word[lane_q*BYTES*8+:BYTES*8] = data_i;
    length = length_q + 20'(count_i);
    // Far behind the longest frame the count stays.
    if (length_q[19] && length_q[18]) length = length_q;
    full = length_q >= 20'(LONGEST * 64);
    store = valid_i && !full && (last_i || lane_q == LANE'(LANES - 1));
    frame_o = valid_i && last_i;
    word_o = 16'(first_q);
    length_o = length;
  end

  weir_ram_1r1w #(
      .ADDRESS_BITS(WORDS_LOG2),
      .DATA_BITS   (512)
  ) words (
      .clk_i          (clk_i),
      .write_i        (store),
      .write_address_i(tail_q),
      .write_data_i   (word),
      .read_address_i (address_i[WORDS_LOG2-1:0]),
      .read_data_o    (data_o)
  );

  weir_ram_1r1w #(
      .ADDRESS_BITS(WORDS_LOG2),
      .DATA_BITS   (512)
  ) words_b (
      .clk_i          (clk_i),
      .write_i        (store),
      .write_address_i(tail_q),
      .write_data_i   (word),
      .read_address_i (address_b_i[WORDS_LOG2-1:0]),
      .read_data_o    (data_b_o)
  );

  weir_ram_1r1w #(
      .ADDRESS_BITS(WORDS_LOG2),
      .DATA_BITS   (512)
  ) words_c (
      .clk_i          (clk_i),
      .write_i        (store),
      .write_address_i(tail_q),
      .write_data_i   (word),
      .read_address_i (address_c_i[WORDS_LOG2-1:0]),
      .read_data_o    (data_c_o)
  );

  always_ff @(posedge clk_i) begin
    if (valid_i) word_q <= word;
    if (rst_i) begin
      first_q <= '0;
      tail_q <= '0;
      head_q <= '0;
      lane_q <= '0;
      length_q <= '0;
    end else begin
      if (store) tail_q <= tail_q + WORDS_LOG2'(1);
      if (valid_i) begin
        lane_q <= last_i || lane_q == LANE'(LANES - 1) ? '0 : lane_q + LANE'(1);
        length_q <= last_i ? '0 : length;
        if (last_i) first_q <= tail_q + WORDS_LOG2'(store);
      end
      if (free_i) head_q <= free_word_i[WORDS_LOG2-1:0];
    end
  end

  if (WORDS_LOG2 > 16 || (1 << WORDS_LOG2) < LONGEST + 4) begin : g_check
    $error("the buffer must hold the longest frame, and a word's number has 16 bits");
  end

endmodule

`default_nettype wire
