// What lists say of each record before it is asked: its transports, directions and port sets.
//
// Function: entry by entry of the lists, a word for every LIST_WORD of them (weir_judge_pkg); zeros behind the last. Latency and
// throughput: a cycle per entry, whole words of them, and 3 more. Back-pressure: none.
`default_nettype none

module weir_load_lists
  import weir_judge_pkg::*;
  import weir_load_pkg::*;
#(
    parameter int unsigned LISTS_LOG2 = 13
) (
    input  wire logic                  clk_i,
    input  wire logic                  rst_i,
    input  wire logic                  start_i,
    output logic                       done_o,      // for one cycle, behind the last write
    input  wire logic [31:0]           entries_i,   // of the lists
    output logic [LISTS_LOG2-1:0]      at_o,        // an entry
    input  wire list_summary_t         summary_i,   // of its record, two cycles later
    output table_write_t               write_o      // without bank
);

  logic busy_q;
  logic [LISTS_LOG2:0] at_q, last;
  logic [1:0] valid_q, zero_q;
  logic [1:0][LISTS_LOG2:0] index_q;
  list_summary_t [LIST_WORD-1:0] word;
  list_summary_t [LIST_WORD-2:0] word_q;

  assign last = (LISTS_LOG2 + 1)'((entries_i + 32'(LIST_WORD - 1)) & ~32'(LIST_WORD - 1));
  assign at_o = at_q[LISTS_LOG2-1:0];
  assign word = {zero_q[1] ? '0 : summary_i, word_q};

  always_ff @(posedge clk_i) begin
    at_q <= busy_q ? at_q + (LISTS_LOG2 + 1)'(1) : '0;
    valid_q <= {valid_q[0], busy_q && at_q != last};
    zero_q <= {zero_q[0], 32'(at_q) >= entries_i};
    index_q <= {index_q[0], at_q};
    if (valid_q[1]) word_q <= word[LIST_WORD-1:1];
    write_o <= '0;
    write_o.valid <= valid_q[1] && index_q[1][LIST_WORD_LOG2-1:0] == '1;
    write_o.table_of <= TO_LISTS;
    write_o.part <= 4'd1;
    write_o.address <= 24'(index_q[1][LISTS_LOG2:LIST_WORD_LOG2]);
    write_o.data <= 1024'(word);
    done_o <= busy_q && at_q == last && valid_q == '0;
    if (busy_q && at_q == last) at_q <= at_q;
    if (start_i) busy_q <= 1'b1;
    else if (busy_q && at_q == last && valid_q == '0) busy_q <= 1'b0;
    if (rst_i) begin
      busy_q <= 1'b0;
      valid_q <= '0;
      write_o.valid <= 1'b0;
      done_o <= 1'b0;
    end
  end

endmodule

`default_nettype wire
