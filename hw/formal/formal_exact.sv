// weir_match_exact: an entry in one of its two buckets is found by every window that equals it, whatever else is there.
`default_nettype none

module formal_exact
  import weir_contract_pkg::*;
  import weir_match_pkg::*;
#(
    parameter int unsigned LENGTH = 8,
    parameter int unsigned LOG2 = 1,
    parameter int unsigned WAYS = 2
) (
    input wire logic            clk_i,
    input wire logic            rst_i,
    input wire candidate_t      candidate_i,
    input wire logic            write_i,
    input wire logic            write_bank_i,
    input wire logic [3:0]      write_way_i,
    input wire logic [LOG2-1:0] write_address_i,
    input wire logic [127:0]    write_data_i,
    input wire logic            mark_i            // this entry is followed
);

  window_geometry_t [1:0] geometry_i;
  logic [2*WAYS-1:0] hit;
  logic [2*WAYS-1:0][31:0] list_start;
  logic [2*WAYS-1:0][15:0] list_count;

  // Any odd multiplier would do; the sums of a constant are few.
  always_comb begin
    geometry_i = '0;
    for (int unsigned b = 0; b < 2; b++) begin
      geometry_i[b].multiplier = 64'h9e37_79b9_7f4a_7c15;
      geometry_i[b].buckets_log2 = 5'(LOG2);
    end
  end

  weir_match_exact #(
      .LENGTH(LENGTH),
      .LOG2  (LOG2),
      .WAYS  (WAYS)
  ) dut (
      .*,
      .hit_o       (hit),
      .list_start_o(list_start),
      .list_count_o(list_count)
  );

  // The buckets of what is asked, as the compiler has them.
  logic [7:0][70:0] products;
  logic [63:0] middle;
  logic [1:0][LOG2-1:0] bucket;
  always_comb begin
    for (int unsigned n = 0; n < 8; n++) products[n] = byte_product(candidate_i.window[n], geometry_i[0].multiplier);
    middle = middle_of(products, 3'(LENGTH - SHORTEST));
    for (int unsigned w = 0; w < 2; w++) bucket[w] = LOG2'(middle >> BUCKET_SHIFT[w]);
  end

  exact_entry_t entry, followed_q;
  logic started_q = 1'b0;
  logic marked_q, bank_q, equal, found;
  logic [LOG2-1:0] address_q;
  logic [2:0] asked_q;
  assign entry = write_data_i;

  always_comb begin
    equal = fold_word(followed_q.value) == candidate_i.window;
    for (int unsigned n = 0; n < 8; n++) begin
      if (followed_q.case_mask[n] && candidate_i.known[n] && followed_q.value[n*8+:8] !=
          (candidate_i.window[n] ^ {2'b00, candidate_i.upper[n], 5'b00000})) equal = 1'b0;
    end
    found = 1'b0;
    for (int unsigned s = 0; s < 2 * WAYS; s++) begin
      if (hit[s] && list_start[s] == followed_q.list_start && list_count[s] == followed_q.list_count) found = 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    started_q <= 1'b1;
    if (write_i && mark_i && !marked_q) begin
      marked_q <= 1'b1;
      followed_q <= entry;
      bank_q <= write_bank_i;
      address_q <= write_address_i;
    end
    asked_q <= {asked_q[1:0], marked_q && candidate_i.bank == bank_q && equal &&
                (bucket[0] == address_q || bucket[1] == address_q)};
    if (rst_i) begin
      marked_q <= 1'b0;
      asked_q  <= '0;
    end

    assume (rst_i || started_q);
    assume (32'(write_way_i) < WAYS);
    // A bank is written before it is used, and not while it is.
    if (marked_q) assume (!write_i || write_bank_i != bank_q);
    if (mark_i) assume (entry.list_count != '0);

    if (started_q && !rst_i && asked_q[2]) assert (found);
  end

endmodule

`default_nettype wire
