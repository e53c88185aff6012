// Memory with two read ports, one of which writes instead.
// Function: both ports read; while write_i, port A writes and its read data is undefined. Latency: read data one cycle
// after the address. Throughput: two reads, or a write and a read, per cycle. A read of the word that is written in the
// same cycle is undefined: users write only what nothing reads (a bank that is not active).
`default_nettype none

module weir_ram_2r #(
    parameter int unsigned ADDRESS_BITS = 9,  // log2 of the number of words
    parameter int unsigned DATA_BITS = 64     // bits of a word
) (
    input  wire logic                    clk_i,
    input  wire logic                    write_i,       // store write_data_i at address_a_i
    input  wire logic [   DATA_BITS-1:0] write_data_i,
    input  wire logic [ADDRESS_BITS-1:0] address_a_i,
    output logic      [   DATA_BITS-1:0] data_a_o,
    input  wire logic [ADDRESS_BITS-1:0] address_b_i,
    output logic      [   DATA_BITS-1:0] data_b_o
);

  // An UltraRAM has 4096 words of 72 bits; less is better kept in block RAM.
  (* no_rw_check, ram_style = ADDRESS_BITS >= 12 && DATA_BITS >= 36 ? "ultra" : "block" *)
  logic [DATA_BITS-1:0] memory[1<<ADDRESS_BITS];

  always_ff @(posedge clk_i) begin
    if (write_i) memory[address_a_i] <= write_data_i;
    data_a_o <= memory[address_a_i];
    data_b_o <= memory[address_b_i];
  end

endmodule

`default_nettype wire
