// Simple dual-port memory.
// Function: one read and one write port. Latency: read data one cycle after the address. Throughput: one of each per
// cycle. A read of the address that is written in the same cycle is undefined: users forward.
`default_nettype none

module weir_ram_1r1w #(
    parameter int unsigned ADDRESS_BITS = 4,  // log2 of the number of words
    parameter int unsigned DATA_BITS = 32     // bits of a word
) (
    input  wire logic                    clk_i,
    input  wire logic                    write_i,          // store write_data_i at write_address_i
    input  wire logic [ADDRESS_BITS-1:0] write_address_i,
    input  wire logic [   DATA_BITS-1:0] write_data_i,
    input  wire logic [ADDRESS_BITS-1:0] read_address_i,
    output logic      [   DATA_BITS-1:0] read_data_o
);

  // An UltraRAM has 4096 words of 72 bits; less is better kept in block RAM.
  (* no_rw_check, ram_style = ADDRESS_BITS >= 12 && DATA_BITS >= 36 ? "ultra" : "block" *)
  logic [DATA_BITS-1:0] memory[1<<ADDRESS_BITS];

  always_ff @(posedge clk_i) begin
    if (write_i) memory[write_address_i] <= write_data_i;
    read_data_o <= memory[read_address_i];
  end

endmodule

`default_nettype wire
