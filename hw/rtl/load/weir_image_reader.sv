// Reads a piece of a table image from host memory.
//
// Function: lines of 64 bytes are asked for ahead, at most 2^DEPTH_LOG2 of them; they are answered in order. They come out as
// words, or not at all, and their CRC-32C is formed as they pass. Latency: a round trip of host memory, then 6 cycles and as
// many as a last line of less than 64 bytes has bytes. Throughput: a line, or a word, per cycle. Back-pressure: word_ready_i;
// no line is asked for that has no place.
//
//     ask ──► host memory ──► lines (queue) ──► line ─┬► words
//                                                     └► aligned to its end ─► parities ─► CRC
`default_nettype none

module weir_image_reader
  import weir_load_pkg::*;
#(
    parameter int unsigned DEPTH_LOG2 = 4  // log2 of the lines on their way
) (
    input  wire logic          clk_i,
    input  wire logic          rst_i,
    input  wire logic [63:0]   address_i,      // of the image, while it is read
    input  wire read_command_t command_i,
    output read_result_t       result_o,
    output logic               word_valid_o,
    input  wire logic          word_ready_i,
    output logic [127:0]       word_o,
    // host memory
    output logic               ask_valid_o,
    input  wire logic          ask_ready_i,
    output logic [63:0]        ask_address_o,
    output logic [6:0]         ask_bytes_o,    // 1 to 64, from the address on
    input  wire logic          answer_valid_i,
    input  wire logic          answer_fault_i,
    input  wire logic [511:0]  answer_data_i
);

  function automatic logic [6:0] line_of(input logic [31:0] left);
    return left > 32'd64 ? 7'd64 : left[6:0];
  endfunction

  // ---- asking
  logic active_q, asked, beyond;
  logic [64:0] ask_at_q, ask_last;
  logic [31:0] ask_left_q;
  logic [DEPTH_LOG2:0] used_q;  // lines asked for that have not been taken up
  logic pop;

  assign ask_address_o = ask_at_q[63:0];
  assign ask_bytes_o = line_of(ask_left_q);
  assign ask_last = ask_at_q + 65'(ask_bytes_o) - 65'd1;
  assign beyond = ask_left_q != '0 && ask_last[64];  // behind the last address there is
  assign ask_valid_o = active_q && ask_left_q != '0 && !beyond && !used_q[DEPTH_LOG2];
  assign asked = ask_valid_o && ask_ready_i;

  // ---- lines
  logic line_ready, fault;
  logic [511:0] line, line_q;
  logic [6:0] bytes, bytes_q;
  logic [31:0] left_q, at_q, fault_at_q;
  logic fault_q;
  logic line_valid_q, last_word, words, give_up;
  logic [2:0] word_log2_q;
  logic [4:0] word_q;

  weir_fifo #(
      .DEPTH_BITS(DEPTH_LOG2),
      .DATA_BITS (513)
  ) lines (
      .clk_i  (clk_i),
      .rst_i  (rst_i),
      .push_i (answer_valid_i),
      .data_i ({answer_fault_i, answer_data_i}),
      .valid_o(line_ready),
      .data_o ({fault, line}),
      .pop_i  (pop)
  );

  assign words = word_log2_q != WORDLESS;
  assign bytes = line_of(left_q);
  assign last_word = ((7'(word_q) + 7'd1) << word_log2_q) >= bytes_q;
  assign pop = line_ready && (!line_valid_q || (word_ready_i && last_word));
  assign word_valid_o = line_valid_q;
  always_comb begin
    word_o = 128'(line_q >> {9'(word_q) << word_log2_q, 3'b000});
    for (int unsigned n = 2; n < 16; n++) if (5'(n) >> word_log2_q != '0) word_o[n*8+:8] = '0;
  end
  assign give_up = active_q && beyond && used_q == '0 && !line_valid_q;

  // ---- checksum: the line, aligned to its end, and its parities
  logic a_valid_q, b_valid_q, c_valid_q;
  logic [6:0] b_bytes_q, c_bytes_q, serial_q;
  logic [511:0] b_line_q;
  logic [31:0] c_crc_q, crc_q, a_at_q;
  logic [5:0] first;
  logic quiet, done_q, nonzero_q;
  logic [31:0] nonzero_at_q;

  always_comb begin
    first = '0;
    for (int unsigned n = 64; n > 0; n--) if (line_q[(n-1)*8+:8] != '0) first = 6'(n - 1);
  end

  assign quiet = !a_valid_q && !b_valid_q && !c_valid_q && serial_q == '0;

  always_ff @(posedge clk_i) begin
    if (asked) begin
      ask_at_q   <= ask_at_q + 65'(ask_bytes_o);
      ask_left_q <= ask_left_q - 32'(ask_bytes_o);
    end
    if (pop) begin
      for (int unsigned n = 0; n < 64; n++) line_q[n*8+:8] <= 7'(n) < bytes && !fault ? line[n*8+:8] : 8'd0;
      bytes_q <= bytes;
      word_q  <= '0;
      left_q  <= left_q - 32'(bytes);
      at_q    <= at_q + 32'(bytes);
      a_at_q  <= at_q;
      if (fault && !fault_q) begin
        fault_q <= 1'b1;
        fault_at_q <= at_q;
      end
    end else if (word_valid_o && word_ready_i && !last_word) begin
      word_q <= word_q + 5'd1;
    end
    if (give_up) begin
      ask_left_q <= '0;
      left_q <= '0;
      if (!fault_q) fault_at_q <= at_q;
      fault_q <= 1'b1;
    end

    if (a_valid_q && line_q != '0 && !nonzero_q) begin
      nonzero_q <= 1'b1;
      nonzero_at_q <= a_at_q + 32'(first);
    end
    b_bytes_q <= bytes_q;
    b_line_q  <= line_q << {7'd64 - bytes_q, 3'b000};
    c_bytes_q <= b_bytes_q;
    c_crc_q   <= serial_q != '0 ? c_crc_q : crc_line(b_line_q);
    if (c_valid_q && c_bytes_q == 7'd64) crc_q <= crc_later(crc_q) ^ c_crc_q;
    else if (serial_q > 7'd1) crc_q <= crc_byte(crc_q);
    else if (serial_q == 7'd1) crc_q <= crc_byte(crc_q) ^ c_crc_q;

    if (command_i.valid) begin
      ask_at_q <= 65'(address_i) + 65'(command_i.offset);
      ask_left_q <= command_i.length_of;
      left_q <= command_i.length_of;
      at_q <= '0;
      word_log2_q <= command_i.word_log2;
      crc_q <= '1;
      fault_q <= 1'b0;
      nonzero_q <= 1'b0;
    end

    if (rst_i) begin
      active_q <= 1'b0;
      used_q <= '0;
      line_valid_q <= 1'b0;
      a_valid_q <= 1'b0;
      b_valid_q <= 1'b0;
      c_valid_q <= 1'b0;
      serial_q <= '0;
      done_q <= 1'b0;
    end else begin
      if (command_i.valid) active_q <= 1'b1;
      else if (done_q) active_q <= 1'b0;
      done_q <= active_q && !done_q && ask_left_q == '0 && left_q == '0 && used_q == '0 &&
                       !line_valid_q && quiet;
      used_q <= used_q + (DEPTH_LOG2 + 1)'(asked) - (DEPTH_LOG2 + 1)'(pop);
      if (pop) line_valid_q <= words;
      else if (word_ready_i && last_word) line_valid_q <= 1'b0;
      a_valid_q <= pop;
      b_valid_q <= a_valid_q;
      c_valid_q <= b_valid_q;
      // The last line, where it is not whole: what stands so far goes on a byte per cycle.
      if (b_valid_q && b_bytes_q != 7'd64) serial_q <= b_bytes_q;
      else if (serial_q != '0) serial_q <= serial_q - 7'd1;
    end
  end

  assign result_o = '{
      done: done_q,
      fault: fault_q,
      fault_at: fault_at_q,
      crc: ~crc_q,
      nonzero: nonzero_q,
      nonzero_at: nonzero_at_q
  };

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i) assert (!(command_i.valid && active_q && !done_q));
  end
`endif

  if (DEPTH_LOG2 < 1 || DEPTH_LOG2 > 8) begin : g_check
    $error("DEPTH_LOG2 must be 1 to 8");
  end

endmodule

`default_nettype wire
