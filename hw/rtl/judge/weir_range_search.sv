// Class of a value by sorted ranges.
// Function: the class of the last range that begins at or before the value; two values at once (source, destination).
// Latency: LOG2 + 2 cycles. Throughput: two values per cycle. Back-pressure: none.
//
// The 2^LOG2 - 1 boundaries stand in a complete search tree, a memory for each level: a level's word is chosen by the
// answers before it. Unused boundaries are all ones above every value; a value that equals them still finds the last
// range, because the loader repeats its class behind it.
`default_nettype none

module weir_range_search #(
    parameter  int unsigned KEY_BITS = 32,         // bits of a value
    parameter  int unsigned LOG2 = 14,             // ranges
    localparam int unsigned ADDRESS = LOG2
) (
    input  wire logic                          clk_i,
    input  wire logic                          bank_i,
    input  wire logic [1:0][KEY_BITS-1:0]      value_i,
    output logic      [1:0][15:0]              class_o,
    // A bank that is not in use. Boundary n (from 1) is where range n begins; range 0 begins at 0.
    input  wire logic                          write_boundary_i,
    input  wire logic                          write_class_i,
    input  wire logic                          write_bank_i,
    input  wire logic [ADDRESS-1:0]            write_address_i,
    input  wire logic [KEY_BITS-1:0]           write_data_i
);

  logic [1:0][KEY_BITS-1:0] value_q[LOG2+1];
  logic [1:0][LOG2-1:0] path_q[LOG2+1];  // answers so far, the newest lowest
  logic bank_q[LOG2+1];

  always_comb begin
    value_q[0] = value_i;
    path_q[0]  = '0;
    bank_q[0]  = bank_i;
  end

  for (genvar level = 0; level < LOG2; level++) begin : g_level
    // Boundary n is on the level of its lowest set bit, at the place of the bits above that one.
    localparam int unsigned BELOW = LOG2 - 1 - level;
    logic here;
    logic [1:0][KEY_BITS-1:0] boundary, value_r;
    logic [1:0][LOG2-1:0] path_r;
    logic bank_r;

    assign here = write_boundary_i && write_address_i[BELOW] &&
                  (write_address_i & ADDRESS'((1 << BELOW) - 1)) == '0;

    for (genvar port = 0; port < 2; port++) begin : g_port
      weir_ram_1r1w #(
          .ADDRESS_BITS(level + 1),
          .DATA_BITS   (KEY_BITS)
      ) boundaries (
          .clk_i          (clk_i),
          .write_i        (here),
          .write_address_i((level + 1)'((ADDRESS + 1)'(write_bank_i) << level |
                                           (ADDRESS + 1)'(write_address_i) >> (BELOW + 1))),
          .write_data_i   (write_data_i),
          .read_address_i ((level + 1)'((ADDRESS + 1)'(bank_q[level]) << level |
                                           (ADDRESS + 1)'(path_q[level][port]))),
          .read_data_o    (boundary[port])
      );
    end

    always_ff @(posedge clk_i) begin
      value_r <= value_q[level];
      path_r  <= path_q[level];
      bank_r  <= bank_q[level];
    end

    always_comb begin
      value_q[level+1] = value_r;
      bank_q[level+1]  = bank_r;
      for (int unsigned p = 0; p < 2; p++) begin
        path_q[level+1][p] = LOG2'({path_r[p], value_r[p] >= boundary[p]});
      end
    end
  end

  for (genvar port = 0; port < 2; port++) begin : g_class
    logic [15:0] found;
    weir_ram_1r1w #(
        .ADDRESS_BITS(LOG2 + 1),
        .DATA_BITS   (16)
    ) classes (
        .clk_i          (clk_i),
        .write_i        (write_class_i),
        .write_address_i({write_bank_i, write_address_i}),
        .write_data_i   (write_data_i[15:0]),
        .read_address_i ({bank_q[LOG2], path_q[LOG2][port]}),
        .read_data_o    (found)
    );
    always_ff @(posedge clk_i) class_o[port] <= found;
  end

  if (LOG2 < 2) begin : g_check
    $error("LOG2 must be 2 at least");
  end

endmodule

`default_nettype wire
