// Exact entries of one window length.
// Function: looks a candidate up in its two buckets; every entry that equals the window, and its case where the entry asks
// and the case is known, is a hit. Latency: 3 cycles. Throughput: one candidate per cycle. Back-pressure: none.
`default_nettype none

module weir_match_exact
  import weir_contract_pkg::*;
  import weir_match_pkg::*;
#(
    parameter int unsigned LENGTH = 8,   // bytes of a window
    parameter int unsigned LOG2 = 13,    // most buckets
    parameter int unsigned WAYS = 4      // entries of a bucket
) (
    input  wire logic                       clk_i,
    input  wire window_geometry_t [1:0]     geometry_i,       // by bank
    input  wire candidate_t                 candidate_i,
    output logic [2*WAYS-1:0]               hit_o,            // first bucket first
    output logic [2*WAYS-1:0][31:0]         list_start_o,
    output logic [2*WAYS-1:0][15:0]         list_count_o,
    input  wire logic                       write_i,
    input  wire logic                       write_bank_i,
    input  wire logic [3:0]                 write_way_i,
    input  wire logic [LOG2-1:0]            write_address_i,
    input  wire logic [127:0]               write_data_i
);

  // ---- hash
  candidate_t candidate_q, asked_q;
  logic [63:0] middle, middle_q;
  logic [7:0][70:0] products;
  always_comb begin
    for (int unsigned n = 0; n < 8; n++) begin
      products[n] = byte_product(candidate_i.window[n], geometry_i[candidate_i.bank].multiplier);
    end
    middle = middle_of(products, 3'(LENGTH - SHORTEST));
  end

  // ---- buckets
  logic [LOG2-1:0] mask;
  logic [1:0][LOG2-1:0] bucket;
  logic same_q;
  logic [1:0][2*WAYS-1:0][127:0] words;
  always_comb begin
    mask = LOG2'((33'd1 << geometry_i[candidate_q.bank].buckets_log2) - 33'd1);
    for (int unsigned w = 0; w < 2; w++) bucket[w] = LOG2'(middle_q >> BUCKET_SHIFT[w]) & mask;
  end

  always_ff @(posedge clk_i) begin
    middle_q <= middle;
    candidate_q <= candidate_i;
    asked_q <= candidate_q;
    same_q <= bucket[0] == bucket[1];
  end

  for (genvar bank = 0; bank < 2; bank++) begin : g_bank
    for (genvar way = 0; way < WAYS; way++) begin : g_way
      logic write;
      assign write = write_i && write_bank_i == bank && write_way_i == way;
      weir_ram_2r #(
          .ADDRESS_BITS(LOG2),
          .DATA_BITS   (128)
      ) entries (
          .clk_i       (clk_i),
          .write_i     (write),
          .write_data_i(write_data_i),
          .address_a_i (write ? write_address_i : bucket[0]),
          .data_a_o    (words[bank][way]),
          .address_b_i (bucket[1]),
          .data_b_o    (words[bank][WAYS+way])
      );
    end
  end

  // ---- compare
  always_ff @(posedge clk_i) begin
    for (int unsigned s = 0; s < 2 * WAYS; s++) begin
      exact_entry_t entry;
      logic [63:0] window, differs;
      entry = words[asked_q.bank][s];
      window = '0;
      for (int unsigned n = 0; n < LENGTH; n++) window[n*8+:8] = asked_q.window[n];
      differs = '0;
      for (int unsigned n = 0; n < 8; n++) begin
        if (entry.case_mask[n] && asked_q.known[n]) begin
          differs[n*8+:8] = entry.value[n*8+:8] ^
                            (asked_q.window[n] ^ {2'b00, asked_q.upper[n], 5'b00000});
        end
      end
      hit_o[s] <= entry.list_count != '0 && fold_word(entry.value) == window && differs == '0 &&
                  !(s >= WAYS && same_q);
      list_start_o[s] <= entry.list_start;
      list_count_o[s] <= entry.list_count;
    end
  end

  if (WAYS < 1 || WAYS > 16) begin : g_check_ways
    $error("WAYS must be 1 to 16");
  end

endmodule

`default_nettype wire
