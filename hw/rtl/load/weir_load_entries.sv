// Entries of the literal filter, of one window length: where each goes, and whether its window finds it there.
//
// Function: an entry is canonical, lies in one of its window's two buckets, and every Bloom partition holds it (hw-sim's
// check_entries). Latency: an entry that is checked 3 cycles and one per partition, others one. Throughput: one at a time;
// writing, one per cycle, and one more for each way of a bucket that the image does not use. Back-pressure: ready_o.
`default_nettype none

module weir_load_entries
  import weir_contract_pkg::*;
  import weir_match_pkg::*;
#(
    parameter int unsigned WAYS = 4,            // entries of a bucket, as the memory has them
    parameter int unsigned SCRATCH_LOG2 = 15    // words of 64 bits: the length's Bloom partitions
) (
    input  wire logic                     clk_i,
    input  wire logic                     rst_i,
    input  wire logic                     start_i,        // the first entry comes next
    input  wire logic                     writing_i,      // entries are written, else checked
    input  wire length_geometry_t         shape_i,
    input  wire logic [2:0]               length_i,       // 0: four bytes
    input  wire logic [63:0]              multiplier_i,
    input  wire logic [31:0]              list_entries_i,
    output logic                          ready_o,
    input  wire logic                     valid_i,        // only while ready_o
    input  wire exact_entry_t             entry_i,
    // what is wrong with entry number at_o
    output logic                          reference_o,    // its list ends behind the lists
    output logic                          value_o,        // its window does not find it
    output logic [31:0]                   at_o,
    output logic [31:0]                   used_o,         // entries in use so far
    // where entry_i goes, or nothing at all (fill_o)
    output logic                          fill_o,
    output logic [3:0]                    way_o,
    output logic [23:0]                   bucket_o,
    // Bloom partitions, read a cycle later
    output logic [SCRATCH_LOG2-1:0]       word_at_o,
    input  wire logic [63:0]              word_i
);

  typedef enum logic [1:0] {FREE, HASHED, TEST, FILL} state_e;

  state_e state_q;
  exact_entry_t entry_q;
  logic [23:0] bucket_q, entry_bucket_q, bucket_mask;
  logic [7:0] way_q, fill_way_q;
  logic [31:0] count_q;
  logic last_way, canonical, canonical_q, holds_q, misplaced;
  logic [63:0] middle, middle_q;
  logic [23:0] prefix, prefix_q;
  logic [7:0][70:0] products;
  logic [126:0] first_product;
  logic [2:0] test_q;
  logic [23:0] bloom_bit;
  logic [5:0] bit_q;

  assign ready_o = state_q == FREE;
  assign last_way = way_q + 8'd1 == shape_i.exact_ways;
  assign bucket_mask = 24'((32'd1 << shape_i.exact_buckets_log2) - 32'd1);
  assign fill_o = state_q == FILL;
  assign way_o = fill_o ? fill_way_q[3:0] : way_q[3:0];
  assign bucket_o = fill_o ? entry_bucket_q : bucket_q;

  always_comb begin
    logic [63:0] folded;
    folded = fold_word(entry_q.value);
    canonical = entry_q.length == 8'(length_i) + 8'(SHORTEST);
    for (int unsigned n = 0; n < 8; n++) begin
      if (!entry_q.case_mask[n] && entry_q.value[n*8+:8] != folded[n*8+:8]) canonical = 1'b0;
      if (8'(n) >= 8'(length_i) + 8'(SHORTEST) && entry_q.value[n*8+:8] != '0) canonical = 1'b0;
      products[n] = byte_product(folded[n*8+:8], multiplier_i);
    end
    middle = middle_of(products, length_i);
    first_product = '0;
    for (int unsigned n = 0; n < SHORTEST; n++) first_product = first_product ^ (127'(products[n]) << (8 * n));
    prefix = 24'(first_product >> PREFIX_SHIFT);

    // Bit of the partition that is asked now; the answer to the one before is here.
    bloom_bit = test_q == 3'd0 ? prefix_q : 24'(middle_q >> BLOOM_SHIFT[test_q[1:0]]);
    bloom_bit = bloom_bit & 24'((32'd1 << shape_i.bloom_bits_log2) - 32'd1);
    word_at_o = SCRATCH_LOG2'((32'(test_q) << (shape_i.bloom_bits_log2 - 8'd6)) + 32'(bloom_bit[23:6]));
    misplaced = (24'(middle_q >> BUCKET_SHIFT[0]) & bucket_mask) != entry_bucket_q &&
                (24'(middle_q >> BUCKET_SHIFT[1]) & bucket_mask) != entry_bucket_q;
    reference_o = state_q == HASHED &&
                  33'(entry_q.list_start) + 33'(entry_q.list_count) > 33'(list_entries_i);
    value_o = state_q == TEST && 8'(test_q) == shape_i.bloom_partitions &&
              (!canonical_q || misplaced || !holds_q || !word_i[bit_q]);
  end

  always_ff @(posedge clk_i) begin
    bit_q <= bloom_bit[5:0];
    unique case (state_q)
      FREE:
      if (valid_i) begin
        entry_q <= entry_i;
        at_o <= count_q;
        count_q <= count_q + 32'd1;
        entry_bucket_q <= bucket_q;
        fill_way_q <= shape_i.exact_ways;
        way_q <= last_way ? 8'd0 : way_q + 8'd1;
        if (last_way) bucket_q <= bucket_q + 24'd1;
        if (entry_i.list_count != '0) used_o <= used_o + 32'd1;
        if (!writing_i && entry_i.list_count != '0) state_q <= HASHED;
        else if (writing_i && last_way && shape_i.exact_ways != 8'(WAYS)) state_q <= FILL;
      end
      HASHED: begin
        middle_q <= middle;
        prefix_q <= prefix;
        canonical_q <= canonical;
        holds_q <= 1'b1;
        test_q <= '0;
        state_q <= TEST;
      end
      TEST: begin
        test_q <= test_q + 3'd1;
        if (test_q != '0 && !word_i[bit_q]) holds_q <= 1'b0;
        if (8'(test_q) == shape_i.bloom_partitions) state_q <= FREE;
      end
      default: begin  // FILL
        fill_way_q <= fill_way_q + 8'd1;
        if (fill_way_q + 8'd1 == 8'(WAYS)) state_q <= FREE;
      end
    endcase
    if (start_i) begin
      count_q <= '0;
      used_o <= '0;
      bucket_q <= '0;
      way_q <= '0;
    end
    if (rst_i || start_i) state_q <= FREE;
  end

  if (WAYS < 1 || WAYS > 16) begin : g_check
    $error("WAYS must be 1 to 16");
  end

endmodule

`default_nettype wire
