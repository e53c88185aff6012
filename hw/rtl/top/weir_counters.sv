// Counters of the contract.
// Function: COUNTER_COUNT counters and one for each guard; a latched copy of all for reading. Latency: 1 cycle.
// Throughput: any number of single steps and three amounts per cycle. Back-pressure: none.
`default_nettype none

module weir_counters
  import weir_contract_pkg::*;
  import weir_core_pkg::*;
(
    input  wire logic                            clk_i,
    input  wire logic                            rst_i,
    input  wire count_t                          count_i,
    output logic [COUNTER_COUNT-1:0][63:0]       counters_o,
    output logic [GUARDS_MAX-1:0][63:0]          guards_o
);

  always_ff @(posedge clk_i) begin
    for (int unsigned n = 0; n < COUNTER_COUNT; n++) begin
      counters_o[n] <= counters_o[n] + 64'(count_i.more[n]) - 64'(count_i.less[n]) +
                       (count_i.amount_of == 7'(n) ? count_i.amount : '0) +
                       (count_i.also_of == 7'(n) ? count_i.also : '0) +
                       (n == COUNTER_RECEIVED_BYTES ? count_i.received : '0);
    end
    for (int unsigned n = 0; n < 32'(GUARDS_MAX); n++) begin
      guards_o[n] <= guards_o[n] + 64'(count_i.guards[n]);
    end
    if (rst_i) begin
      counters_o <= '0;
      guards_o   <= '0;
    end
  end

endmodule

`default_nettype wire
