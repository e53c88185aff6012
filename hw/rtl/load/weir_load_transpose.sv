// Turns a set matrix by 90 degrees: rows of sets by class, and the header table's rows by class at either end, or by condition.
//
// Function: the matrix lies in a memory, a row of words of 64 classes for each set. For each 64 classes words are taken set by
// set, or for each record of the header table the word of its set, and turned in a square of 64 by 64 bits; what comes out are
// the bits of 64 sets, or records, by class. The header table's rows by condition (weir_judge_pkg) are made in a run of their
// own: for each 64 conditions a word of each record. Latency and throughput: for each 64 classes a cycle per word, 64 to empty
// the square, one per row written (five per class, two per condition), and 12 more per kind of row. Back-pressure: none.
//
// The square is filled and emptied at once: words that came in as rows leave as columns while the next ones come in as columns,
// which leave as rows.
`default_nettype none

module weir_load_transpose
  import weir_judge_pkg::*;
  import weir_load_pkg::*;
#(
    parameter int unsigned SETS_LOG2 = 10,       // sets, at most
    parameter int unsigned HEADER = 1440,        // records of the header table, at most; written in two pieces
    parameter int unsigned SCRATCH_LOG2 = 15,    // words of the matrix's memory
    localparam int unsigned SETS = 1 << SETS_LOG2,
    localparam int unsigned HEADER_LOG2 = $clog2(HEADER)
) (
    input  wire logic                        clk_i,
    input  wire logic                        rst_i,
    input  wire logic                        start_i,
    output logic                             done_o,       // for one cycle, behind the last write
    input  wire logic [4:0]                  table_of_i,   // constant from here on while it works
    input  wire logic [31:0]                 sets_i,
    input  wire logic                        conditions_i, // rows by condition, no matrix
    input  wire logic [31:0]                 classes_i,    // or conditions, more than 0
    input  wire logic [31:0]                 header_i,     // records of the header table
    // memories, read a cycle later
    output logic [SCRATCH_LOG2-1:0]          word_at_o,
    input  wire logic [63:0]                 word_i,
    output logic [HEADER_LOG2-1:0]           record_at_o,
    input  wire logic [1:0][SETS_LOG2-1:0]   record_i,     // two cycles later: its sets of source and destination
    input  wire conditions_t                 asks_i,       // then too: what it asks
    output table_write_t                     write_o       // without bank
);

  localparam int unsigned PIECE = HEADER / 2;
  localparam int unsigned LANES = ((HEADER > SETS ? HEADER : SETS) + 63) / 64;
  localparam int unsigned INDEX = $clog2(LANES * 64) + 1;
  localparam int unsigned LATENCY = 4;  // from the count of a word to the word

  typedef enum logic [1:0] {IDLE, FILL, EMPTY, WRITE} state_e;

  state_e state_q;
  logic [15:0] group_q, words_of_row;
  logic [1:0] kind_q;               // 0 sets, 1 header table by source or condition, 2 by destination
  logic [INDEX-1:0] at_q, count;    // sets or records
  logic [5:0] class_q;
  logic piece_q, last_class, last_group;

  assign words_of_row = 16'((classes_i + 32'd63) >> 6);
  assign count = INDEX'(kind_q == 2'd0 ? sets_i : header_i);
  assign last_group = group_q + 16'd1 == words_of_row;
  assign last_class = class_q == 6'd63 || 32'({group_q, class_q}) + 32'd1 == classes_i;

  // ---- words: whole squares of them, zeros behind the last
  typedef struct packed {
    logic             valid;
    logic             zero;
    logic [INDEX-1:0] at;
  } word_t;
  word_t line_q[LATENCY];
  logic [SETS_LOG2-1:0] set;
  logic [INDEX-1:0] fill_end;

  assign fill_end = (count + INDEX'(63)) & ~INDEX'(63);
  assign record_at_o = HEADER_LOG2'(at_q);
  assign set = kind_q == 2'd0 ? SETS_LOG2'(line_q[1].at) : record_i[kind_q[1]];
  always_ff @(posedge clk_i) begin
    word_at_o <= SCRATCH_LOG2'(32'(set) * 32'(words_of_row) + 32'(group_q));
    line_q[0] <= '{valid: state_q == FILL && at_q != fill_end, zero: at_q >= count, at: at_q};
    for (int unsigned n = 1; n < LATENCY; n++) line_q[n] <= line_q[n-1];
    if (rst_i) for (int unsigned n = 0; n < LATENCY; n++) line_q[n].valid <= 1'b0;
  end

  // ---- the square
  logic [63:0][63:0] square_q;
  logic [63:0] in, out;
  logic [1:0][63:0] asked_q;
  logic columns_q, step, full_q, emptying;
  logic [5:0] turn_q;
  logic [$clog2(LANES)-1:0] lane_q;

  assign emptying = state_q == EMPTY;
  assign step = line_q[LATENCY-1].valid || emptying;
  assign in = emptying || line_q[LATENCY-1].zero ? '0 : conditions_i ? asked_q[1] : word_i;
  always_comb begin
    for (int unsigned n = 0; n < 64; n++) out[n] = columns_q ? square_q[n][0] : square_q[0][n];
  end

  always_ff @(posedge clk_i) begin
    asked_q <= {asked_q[0], condition_bits(asks_i, group_q[2:0])};
    if (step) begin
      if (columns_q) begin
        for (int unsigned n = 0; n < 64; n++) square_q[n] <= {in[n], square_q[n][63:1]};
      end else begin
        square_q <= {in, square_q[63:1]};
      end
      turn_q <= turn_q + 6'd1;
      if (turn_q == 6'd63) begin
        columns_q <= !columns_q;
        full_q <= 1'b1;
        if (full_q) lane_q <= lane_q + ($clog2(LANES))'(1);
      end
    end
    if (rst_i || state_q == WRITE || state_q == IDLE) begin
      columns_q <= 1'b0;
      full_q <= 1'b0;
      turn_q <= '0;
      lane_q <= '0;
    end
  end

  // ---- rows by class, a lane of 64 sets or records each
  logic [LANES-1:0][63:0] row;
  for (genvar n = 0; n < LANES; n++) begin : g_lane
    logic [63:0] rows[64];
    always_ff @(posedge clk_i) if (step && full_q && 32'(lane_q) == n) rows[turn_q] <= out;
    // What no square was turned for holds nothing.
    assign row[n] = INDEX'(n * 64) < count ? rows[class_q] : '0;
  end

  // ---- one kind of row behind the other
  logic settled;
  assign settled = !line_q[0].valid && !line_q[1].valid && !line_q[2].valid && !line_q[3].valid;

  always_ff @(posedge clk_i) begin
    done_o <= 1'b0;
    write_o <= '0;
    write_o.table_of <= table_of_i;
    write_o.address <= 24'({group_q, class_q});
    if (kind_q == 2'd0) begin
      write_o.data <= 1024'(row);
    end else begin
      write_o.part <= {1'b0, kind_q, 1'b0} - 4'd1 + 4'(piece_q);
      write_o.data <= 1024'(PIECE'(piece_q ? (LANES * 64)'(row) >> PIECE : (LANES * 64)'(row)));
    end
    write_o.valid <= state_q == WRITE;
    unique case (state_q)
      IDLE: begin
        group_q <= '0;
        kind_q <= 2'(conditions_i);
        at_q <= '0;
        if (start_i) state_q <= FILL;
      end
      FILL: begin
        class_q <= '0;
        piece_q <= 1'b0;
        if (at_q != fill_end) at_q <= at_q + INDEX'(1);
        else if (settled) state_q <= EMPTY;
      end
      EMPTY: if (turn_q == 6'd63 || !full_q) state_q <= WRITE;
      default: begin
        at_q <= '0;
        if (kind_q == 2'd0 || piece_q) begin
          piece_q <= 1'b0;
          class_q <= class_q + 6'd1;
          if (last_class) begin
            kind_q  <= conditions_i ? 2'd1 : kind_q == 2'd2 ? 2'd0 : kind_q + 2'd1;
            state_q <= FILL;
            if (conditions_i || kind_q == 2'd2) begin
              group_q <= group_q + 16'd1;
              if (last_group) begin
                done_o  <= 1'b1;
                state_q <= IDLE;
              end
            end
          end
        end else begin
          piece_q <= 1'b1;
        end
      end
    endcase
    if (rst_i) begin
      state_q <= IDLE;
      write_o.valid <= 1'b0;
      done_o <= 1'b0;
    end
  end

  if (SETS > 1024 || HEADER % 2 != 0 || HEADER > 2048) begin : g_check
    $error("a row is written at once, or in two halves, and has at most 1024 bits");
  end

endmodule

`default_nettype wire
