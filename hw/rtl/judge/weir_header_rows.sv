// Rows of the header table that admit a frame, as far as its classes and lasting conditions say.
//
// Function: the table stands on its side: for each class of port and address one bit per row of the table, at either end, and
// for each state, protocol class and transport; the seven words of a frame, joined by AND, are the rows left to ask (bit
// vectors: Lakshman and Stiliadis, 1998). A frame that may be of several protocol classes has no word of theirs. Transport and
// version are one bit each. Rows come out in order, one per cycle. Latency: 3 cycles from start_i to the first; done_o comes with the last, 2 cycles
// behind start_i where there is none. Throughput: one row per cycle. Back-pressure: none, who starts it takes what comes.
`default_nettype none

module weir_header_rows
  import weir_judge_pkg::*;
#(
    parameter  int unsigned PORT_CLASSES_LOG2 = 9,
    parameter  int unsigned ADDRESS_CLASSES_LOG2 = 11,
    localparam int unsigned PIECE = 720,          // rows of a write: ten words of 72 bits
    localparam int unsigned ROWS = 2 * PIECE
) (
    input  wire logic                clk_i,
    input  wire logic                rst_i,
    input  wire logic                start_i,          // facts hold since the cycle before
    input  wire frame_facts_t        facts_i,
    output logic                     valid_o,
    output logic [10:0]              row_o,
    output logic                     done_o,           // no row comes behind this cycle's
    // Tables of a bank that is not in use.
    input  wire logic                write_port_i,
    input  wire logic                write_address_row_i,
    input  wire logic                write_condition_i,
    input  wire logic                write_bank_i,
    input  wire logic                write_end_i,      // 0 source, 1 destination
    input  wire logic                write_piece_i,
    input  wire logic [15:0]         write_class_i,    // or condition
    input  wire logic [PIECE-1:0]    write_data_i
);

  localparam int unsigned WORD = 32;
  localparam int unsigned WORDS = ROWS / WORD;

  logic [1:0][1:0][PIECE-1:0] port_rows, address_rows;  // by end, piece
  logic [1:0][PIECE-1:0] state_rows, class_rows, transport_rows;
  logic [1:0][15:0] port_of, address_of;
  logic [2:0] transport;
  logic [1:0] version;
  logic [5:0] class_of;
  logic one_class, one_class_q;
  logic [WORDS-1:0][WORD-1:0] admitted, left_q;
  logic [WORDS-1:0] any;
  logic [$clog2(WORDS)-1:0] word;
  logic [$clog2(WORD)-1:0] bit_of;
  logic load_q, found;

  assign port_of = {facts_i.destination_port, facts_i.source_port};
  assign address_of = {facts_i.destination_address, facts_i.source_address};

  always_comb begin
    transport = '0;
    version = '0;
    class_of = '0;
    for (int unsigned n = 0; n < 7; n++) if (facts_i.transport[n]) transport = transport | 3'(n);
    for (int unsigned n = 0; n < 3; n++) if (facts_i.version[n]) version = version | 2'(n);
    for (int unsigned n = 0; n < 64; n++) if (facts_i.classes[n]) class_of = class_of | 6'(n);
    one_class = facts_i.classes != '0 && (facts_i.classes & (facts_i.classes - 64'd1)) == '0;
  end

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
          .read_address_i ({facts_i.bank, port_of[e][PORT_CLASSES_LOG2-1:0]}),
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
          .read_address_i ({facts_i.bank, address_of[e][ADDRESS_CLASSES_LOG2-1:0]}),
          .read_data_o    (address_rows[e][p])
      );
    end
  end

  for (genvar p = 0; p < 2; p++) begin : g_condition
    logic here;
    assign here = write_condition_i && write_piece_i == p;

    weir_ram_1r1w #(
        .ADDRESS_BITS(9),
        .DATA_BITS   (PIECE)
    ) states (
        .clk_i          (clk_i),
        .write_i        (here && write_class_i < 16'(CONDITION_CLASSES)),
        .write_address_i({write_bank_i, write_class_i[7:0]}),
        .write_data_i   (write_data_i),
        .read_address_i ({facts_i.bank, facts_i.directions[1:0], facts_i.states[5:0]}),
        .read_data_o    (state_rows[p])
    );

    weir_ram_1r1w #(
        .ADDRESS_BITS(7),
        .DATA_BITS   (PIECE)
    ) classes (
        .clk_i          (clk_i),
        .write_i        (here && write_class_i[15:6] == 10'(CONDITION_CLASSES / 64)),
        .write_address_i({write_bank_i, write_class_i[5:0]}),
        .write_data_i   (write_data_i),
        .read_address_i ({facts_i.bank, class_of}),
        .read_data_o    (class_rows[p])
    );

    weir_ram_1r1w #(
        .ADDRESS_BITS(6),
        .DATA_BITS   (PIECE)
    ) transports (
        .clk_i          (clk_i),
        .write_i        (here && write_class_i[15:6] == 10'(CONDITION_TRANSPORTS / 64)),
        .write_address_i({write_bank_i, write_class_i[4:0]}),
        .write_data_i   (write_data_i),
        .read_address_i ({facts_i.bank, version, transport}),
        .read_data_o    (transport_rows[p])
    );
  end

  assign admitted = port_rows[0] & port_rows[1] & address_rows[0] & address_rows[1] & state_rows & transport_rows &
                    (one_class_q ? class_rows : '1);

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
    one_class_q <= one_class;
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
