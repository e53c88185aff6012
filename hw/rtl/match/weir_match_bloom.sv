// Hash and Bloom partitions of one window length, for every position of a beat.
// Function: pass_o says which windows have their bit in every partition of the bank. Latency: 4 cycles. Throughput: one
// beat per cycle. Back-pressure: none.
//
// A memory answers two positions, so there are BYTES / 2 copies of each partition; a bank has memories of its own, so that
// the one that is not active can be written while the other is read in every cycle.
`default_nettype none

module weir_match_bloom
  import weir_match_pkg::*;
#(
    parameter int unsigned BYTES = 64,      // bytes of a beat
    parameter int unsigned LENGTH = 8,      // bytes of a window
    parameter int unsigned LOG2 = 18,       // most bits of a partition
    parameter int unsigned PARTITIONS = 3   // most partitions
) (
    input  wire logic                             clk_i,
    input  wire window_geometry_t [1:0]           geometry_i,         // by bank
    input  wire logic                             bank_i,
    input  wire logic [BYTES+REACH-1:0][7:0]      folded_i,
    output logic      [BYTES-1:0]                 pass_o,
    input  wire logic                             write_i,
    input  wire logic                             write_bank_i,
    input  wire logic [1:0]                       write_partition_i,
    input  wire logic [LOG2-7:0]                  write_address_i,    // of 64 bits
    input  wire logic [63:0]                      write_data_i
);

  localparam int unsigned REST = LENGTH - 1;
  // Lowest bit of the product's middle, and the bits of the middle that partitions use.
  localparam int unsigned LOWEST = 8 * LENGTH - 24;
  localparam int unsigned USED = BLOOM_SHIFT[PARTITIONS-1] + LOG2;

  window_geometry_t geometry;
  assign geometry = geometry_i[bank_i];

  // ---- products of single bytes, shared by the windows that hold them
  logic [BYTES+REST-1:0][70:0] products_q;
  logic [2:0] bank_q;
  always_ff @(posedge clk_i) begin
    for (int unsigned b = 0; b < BYTES + REST; b++) begin
      products_q[b] <= byte_product(folded_i[b], geometry.multiplier);
    end
    bank_q <= {bank_q[1:0], bank_i};
  end

  // ---- sums: of the whole window, and of the four bytes that the first partition asks
  logic [BYTES-1:0][USED-1:0] middle_q;
  logic [BYTES-1:0][LOG2-1:0] prefix_q;
  for (genvar b = 0; b < BYTES; b++) begin : g_middle
    logic [8*LENGTH+62:0] product, prefix;
    always_comb begin
      product = '0;
      prefix = '0;
      for (int unsigned n = 0; n < LENGTH; n++) begin
        product = product ^ ((8 * LENGTH + 63)'(products_q[b+n]) << (8 * n));
        if (n < SHORTEST) prefix = product;
      end
    end
    always_ff @(posedge clk_i) begin
      middle_q[b] <= USED'(product >> LOWEST);
      prefix_q[b] <= LOG2'(prefix >> PREFIX_SHIFT);
    end
  end

  // ---- partitions
  logic [LOG2-1:0] mask;
  logic [PARTITIONS-1:0][BYTES-1:0] holds;
  assign mask = LOG2'((33'd1 << geometry_i[bank_q[1]].bits_log2) - 33'd1);

  for (genvar p = 0; p < PARTITIONS; p++) begin : g_partition
    logic [BYTES-1:0][LOG2-1:0] index;
    logic [BYTES-1:0][5:0] bit_q;
    logic [1:0][BYTES-1:0][63:0] words;

    always_comb begin
      for (int unsigned b = 0; b < BYTES; b++) begin
        index[b] = (p == 0 ? prefix_q[b] : LOG2'(middle_q[b] >> BLOOM_SHIFT[p])) & mask;
      end
    end
    always_ff @(posedge clk_i) begin
      for (int unsigned b = 0; b < BYTES; b++) bit_q[b] <= index[b][5:0];
    end

    for (genvar bank = 0; bank < 2; bank++) begin : g_bank
      logic write;
      assign write = write_i && write_bank_i == bank && write_partition_i == p;
      for (genvar k = 0; k < BYTES / 2; k++) begin : g_copy
        weir_ram_2r #(
            .ADDRESS_BITS(LOG2 - 6),
            .DATA_BITS   (64)
        ) bits (
            .clk_i       (clk_i),
            .write_i     (write),
            .write_data_i(write_data_i),
            .address_a_i (write ? write_address_i : index[2*k][LOG2-1:6]),
            .data_a_o    (words[bank][2*k]),
            .address_b_i (index[2*k+1][LOG2-1:6]),
            .data_b_o    (words[bank][2*k+1])
        );
      end
    end

    always_comb begin
      for (int unsigned b = 0; b < BYTES; b++) begin
        holds[p][b] = words[bank_q[2]][b][bit_q[b]];
      end
    end
  end

  always_ff @(posedge clk_i) begin
    pass_o <= geometry_i[bank_q[2]].partitions == '0 ? '0 : '1;
    for (int unsigned p = 0; p < PARTITIONS; p++) begin
      for (int unsigned b = 0; b < BYTES; b++) begin
        if (3'(p) < geometry_i[bank_q[2]].partitions && !holds[p][b]) pass_o[b] <= 1'b0;
      end
    end
  end

  if (LOG2 < 10 || LOG2 > 24) begin : g_check_log2
    $error("LOG2 must be 10 to 24");
  end
  if (PARTITIONS < 1 || PARTITIONS > 4) begin : g_check_partitions
    $error("PARTITIONS must be 1 to 4");
  end
  if (LENGTH < 4 || LENGTH > 8) begin : g_check_length
    $error("LENGTH must be 4 to 8");
  end

endmodule

`default_nettype wire
