// Key of a packet and its hash.
// Function: endpoints in order (hw/contract/src/flow_key.rs), the XOR of the six carry-less products of the key's words
// (hash.rs), and whether the packet comes from the lower endpoint. Latency: 3 cycles. Throughput: one key per cycle.
// Back-pressure: none.
`default_nettype none

module weir_flow_key
  import weir_contract_pkg::*;
  import weir_parse_pkg::*;
(
    input  wire logic             clk_i,
    input  wire logic             rst_i,
    input  wire logic             vlan_key_i,    // VLAN identifiers belong to the key
    input  wire logic [5:0][63:0] constants_i,   // FLOW_HASH
    input  wire logic             valid_i,
    input  wire parsed_t          parsed_i,
    input  wire logic             given_i,       // hash `key_i` instead
    input  wire flow_key_t        key_i,
    output logic                  valid_o,
    output flow_key_t             key_o,
    output logic [63:0]           hash_o,
    output logic                  from_lower_o
);

  // Addresses compare as byte strings, first byte first.
  function automatic logic [127:0] as_number(input logic [15:0][7:0] bytes);
    logic [127:0] number;
    for (int unsigned n = 0; n < 16; n++) number[(15-n)*8+:8] = bytes[n];
    return number;
  endfunction

  function automatic logic [126:0] product(input logic [63:0] a, input logic [63:0] b);
    logic [126:0] total;
    total = '0;
    for (int unsigned n = 0; n < 64; n++) if (b[n]) total = total ^ (127'(a) << n);
    return total;
  endfunction

  flow_key_t key, key_1_q, key_2_q;
  logic lower, lower_1_q, lower_2_q, valid_1_q, valid_2_q;
  logic [5:0][126:0] products_q;
  logic [383:0] words;
  logic [126:0] sum;

  always_comb begin
    lower = {as_number(parsed_i.source), parsed_i.source_port} <=
            {as_number(parsed_i.destination), parsed_i.destination_port};
    key = '0;
    key.lower_address = lower ? parsed_i.source : parsed_i.destination;
    key.upper_address = lower ? parsed_i.destination : parsed_i.source;
    key.lower_port = lower ? parsed_i.source_port : parsed_i.destination_port;
    key.upper_port = lower ? parsed_i.destination_port : parsed_i.source_port;
    if (vlan_key_i) begin
      key.vlan_outer = 16'(parsed_i.vlan[0]);
      key.vlan_inner = 16'(parsed_i.vlan[1]);
    end
    key.protocol = parsed_i.protocol;
    key.version = parsed_i.six ? 8'd6 : 8'd4;
    words = 384'(key_1_q);
    sum = '0;
    for (int unsigned n = 0; n < 6; n++) sum = sum ^ products_q[n];
  end

  always_ff @(posedge clk_i) begin
    key_1_q <= given_i ? key_i : key;
    lower_1_q <= lower;
    for (int unsigned n = 0; n < 6; n++) begin
      products_q[n] <= product(words[n*64+:64], constants_i[n]);
    end
    key_2_q <= key_1_q;
    lower_2_q <= lower_1_q;
    key_o <= key_2_q;
    from_lower_o <= lower_2_q;
    hash_o <= sum[95:32];
    if (rst_i) begin
      valid_1_q <= 1'b0;
      valid_2_q <= 1'b0;
      valid_o <= 1'b0;
    end else begin
      valid_1_q <= valid_i;
      valid_2_q <= valid_1_q;
      valid_o <= valid_2_q;
    end
  end

endmodule

`default_nettype wire
