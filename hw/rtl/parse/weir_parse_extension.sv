// One step over an IPv6 extension header (RFC 8200 section 4).
// Function: takes the walk's state as it travels with each beat, and steps over one header if there is one. A header
// that has not come by the end of the frame leaves the walk pending. Latency: 1 cycle. Throughput: one beat per cycle.
// Back-pressure: none.
`default_nettype none

module weir_parse_extension
  import weir_parse_pkg::*;
#(
    parameter int unsigned N = 16  // words of a beat
) (
    input  wire logic               clk_i,
    input  wire logic               rst_i,
    input  wire logic               valid_i,
    input  wire logic               first_i,
    input  wire logic               last_i,
    input  wire word_index_t        base_i,
    input  wire logic [N-1:0][31:0] words_i,
    input  wire chain_t             chain_i,
    output logic                    valid_o,
    output logic                    first_o,
    output logic                    last_o,
    output word_index_t             base_o,
    output logic      [N-1:0][31:0] words_o,
    output chain_t                  chain_o
);

  localparam int unsigned LANE = $clog2(N);

  logic stepped, stepped_q, here;
  chain_t chain, step_q, step;
  logic [15:0] head;

  always_comb begin
    head = words_i[chain_i.header[LANE-1:0]][15:0];
    here = 18'(chain_i.header >> LANE) == 18'(base_i >> LANE);
    stepped = !first_i && stepped_q;
    step = step_q;
    chain = chain_i;
    if (chain_i.state == CHAIN_WALK) begin
      unique case (chain_i.next)
        8'd0, 8'd43, 8'd60: begin
          if (!stepped && here) begin
            stepped = 1'b1;
            step = chain_i;
            step.extension = 1'b1;
            step.header = chain_i.header + word_index_t'(2) + word_index_t'({head[15:8], 1'b0});
            step.next = head[7:0];
            if ({step.header, 2'b00} > chain_i.last) step.state = CHAIN_MALFORMED;
          end
          if (stepped) begin
            chain = step;
          end else begin
            chain.state = CHAIN_PENDING;
            chain.extension = 1'b1;
          end
        end
        8'd44: begin
          chain.state = CHAIN_FRAGMENT;
          chain.extension = 1'b1;
          chain.protocol = chain_i.next;
        end
        8'd50, 8'd51, 8'd135, 8'd139, 8'd140, 8'd253, 8'd254, 8'd59: begin
          chain.state = CHAIN_UNKNOWN;
          chain.protocol = chain_i.next;
        end
        default: begin
          chain.state = CHAIN_TRANSPORT;
          chain.protocol = chain_i.next;
        end
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    if (valid_i) begin
      stepped_q <= stepped;
      step_q <= step;
    end
    first_o <= first_i;
    last_o  <= last_i;
    base_o  <= base_i;
    words_o <= words_i;
    chain_o <= chain;
    if (rst_i) valid_o <= 1'b0;
    else valid_o <= valid_i;
  end

endmodule

`default_nettype wire
