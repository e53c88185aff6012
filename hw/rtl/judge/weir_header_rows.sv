// Rows of the header table whose sets admit a frame's classes.
//
// Function: the table stands on its side: for each class of port and address one bit per row of the table, at either end;
// the four words of a frame's classes, joined by AND, are the rows left to ask (bit vectors: Lakshman and Stiliadis, 1998).
// They come out in order, one per cycle. Latency: 3 cycles from start_i to the first; done_o comes with the last, 2 cycles
// behind start_i where there is none. Throughput: one row per cycle. Back-pressure: none, who starts it takes what comes.
`default_nettype none

module weir_header_rows #(
    parameter  int unsigned PORT_CLASSES_LOG2 = 9,
    parameter  int unsigned ADDRESS_CLASSES_LOG2 = 11,
    localparam int unsigned PIECE = 720,          // rows of a write: ten words of 72 bits
    localparam int unsigned ROWS = 2 * PIECE
) (
    input  wire logic                clk_i,
    input  wire logic                rst_i,
    input  wire logic                start_i,          // classes and bank hold since the cycle before
    input  wire logic                bank_i,
    input  wire logic [1:0][15:0]    ports_i,          // source, destination
    input  wire logic [1:0][15:0]    addresses_i,
    output logic                     valid_o,
    output logic [10:0]              row_o,
    output logic                     done_o,           // no row comes behind this cycle's
    // Tables of a bank that is not in use.
    input  wire logic                write_port_i,
    input  wire logic                write_address_row_i,
    input  wire logic                write_bank_i,
    input  wire logic                write_end_i,      // 0 source, 1 destination
    input  wire logic                write_piece_i,
    input  wire logic [15:0]         write_class_i,
    input  wire logic [PIECE-1:0]    write_data_i
);

  localparam int unsigned WORD = 32;
  localparam int unsigned WORDS = ROWS / WORD;

  logic [1:0][1:0][PIECE-1:0] port_rows, address_rows;  // by end, piece
  logic [WORDS-1:0][WORD-1:0] admitted, left_q;
  logic [WORDS-1:0] any;
  logic [$clog2(WORDS)-1:0] word;
  logic [$clog2(WORD)-1:0] bit_of;
  logic load_q, found;

  for (genvar e = 0; e < 2; e++) begin : g_end
    for (genvar p = 0; p < 2; p++) begin : g_piece
      logic here;
      assign here = write_end_i == e && write_piece_i == p;

      weir_ram_1r1w #(
          .ADDRESS_BITS(PORT_CLASSES_LOG2 + 1),
          .DATA_BITS   (PIECE)
      ) ports (
          .clk_i          (clk_i),
          .write_i        (write_port_i && here),
          .write_address_i({write_bank_i, write_class_i[PORT_CLASSES_LOG2-1:0]}),
          .write_data_i   (write_data_i),
          .read_address_i ({bank_i, ports_i[e][PORT_CLASSES_LOG2-1:0]}),
          .read_data_o    (port_rows[e][p])
      );

      weir_ram_1r1w #(
          .ADDRESS_BITS(ADDRESS_CLASSES_LOG2 + 1),
          .DATA_BITS   (PIECE)
      ) addresses (
          .clk_i          (clk_i),
          .write_i        (write_address_row_i && here),
          .write_address_i({write_bank_i, write_class_i[ADDRESS_CLASSES_LOG2-1:0]}),
          .write_data_i   (write_data_i),
          .read_address_i ({bank_i, addresses_i[e][ADDRESS_CLASSES_LOG2-1:0]}),
          .read_data_o    (address_rows[e][p])
      );
    end
  end

  assign admitted = port_rows[0] & port_rows[1] & address_rows[0] & address_rows[1];

  // ---- the first that is left
  always_comb begin
    for (int unsigned n = 0; n < WORDS; n++) any[n] = left_q[n] != '0;
    found = any != '0;
    word  = '0;
    for (int unsigned n = WORDS; n > 0; n--) if (any[n-1]) word = ($clog2(WORDS))'(n - 1);
    bit_of = '0;
    for (int unsigned n = WORD; n > 0; n--) begin
      if (left_q[word][n-1]) bit_of = ($clog2(WORD))'(n - 1);
    end
  end

  assign done_o = !load_q && !found;

  always_ff @(posedge clk_i) begin
    row_o <= 11'({word, bit_of});
    if (load_q) left_q <= admitted;
    else if (found) left_q[word][bit_of] <= 1'b0;
    if (rst_i) begin
      load_q  <= 1'b0;
      valid_o <= 1'b0;
      left_q  <= '0;
    end else begin
      load_q  <= start_i;
      valid_o <= found;
    end
  end

endmodule

`default_nettype wire
