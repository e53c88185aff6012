// Which slot a key has: two buckets of eight ways, full keys, generations, ageing by frame time.
//
// Function: hw-sim/src/flow.rs, `FlowTable`, behind a memory port. A look-up finds the entry of a key or makes one; an
// entry whose time is up counts as free and is ended when it is met; none is ever replaced for another. Commands name a
// slot and a generation; an entry whose time is up is stale to them. Latency: two memory round trips and 6 cycles for a hit, one round trip more for each way whose
// sixteen tag bits are equal by chance. Throughput: one operation at a time; frames of one flow must not overtake each
// other, and a cache with several look-ups under way belongs before this port. Back-pressure: ready_o; the memory answers
// reads in order, when it likes.
//
//     memory line 0 .. 2^BUCKETS_LOG2 - 1: buckets, eight of {generation, expiry, tag}; tag 0: free
//     from 2^(BUCKETS_LOG2 + 3) on: the key of each slot
`default_nettype none

module weir_flow_table
  import weir_contract_pkg::*;
#(
    parameter  int unsigned BUCKETS_LOG2 = 3,                     // log2 of the buckets of eight entries
    localparam int unsigned SLOT = BUCKETS_LOG2 + 3,
    localparam int unsigned ADDRESS = SLOT + 1,
    localparam int unsigned LINE = 8 * 112
) (
    input  wire logic                clk_i,
    input  wire logic                rst_i,
    input  wire logic                valid_i,
    output logic                     ready_o,
    input  wire logic [2:0]          op_i,            // 0 key, 1 name, 2 forget, 3 sweep, 4 find
    input  wire flow_key_t           key_i,           // key
    input  wire logic [63:0]         hash_i,          // key
    input  wire logic [63:0]         now_i,           // frame time
    input  wire logic [63:0]         expiry_i,        // key: the entry lives until then
    input  wire logic [31:0]         slot_i,          // name, forget; sweep: a slot of the bucket
    input  wire logic [31:0]         generation_i,    // name, forget
    output logic                     valid_o,         // for one cycle
    output logic                     live_o,          // slot_o holds; key: else the table is full; name, forget: else stale
    output logic                     created_o,       // key: the entry is new
    output logic [31:0]              slot_o,
    output logic [31:0]              generation_o,
    output logic [1:0]               ended_o,         // key: entries that ended, in this order
    output logic [1:0][31:0]         ended_slot_o,
    output logic [7:0]               swept_o,         // sweep: ways whose entries ended
    output logic [7:0]               used_o,          // sweep: ways that held entries before it
    output logic                     request_valid_o,
    input  wire logic                request_ready_i,
    output logic                     request_write_o,
    output logic [ADDRESS-1:0]       request_address_o,
    output logic [LINE-1:0]          request_data_o,
    input  wire logic                response_valid_i,
    input  wire logic [LINE-1:0]     response_data_i
);

  typedef struct packed {
    logic [31:0] generation_of;
    logic [63:0] expiry;
    logic [15:0] tag;
  } way_t;

  typedef enum logic [3:0] {
    IDLE, READ_FIRST, READ_SECOND, WAIT_LINES, NEXT_KEY, READ_KEY, WAIT_KEY, PLACE,
    WRITE_KEY, WRITE_FIRST, WRITE_SECOND, DONE
  } state_e;

  state_e state_q;
  logic [2:0] op_q;
  flow_key_t key_q;
  logic [63:0] now_q, expiry_q;
  logic [31:0] slot_q, generation_q;
  logic [15:0] tag_q;
  logic [1:0][BUCKETS_LOG2-1:0] bucket_q;  // first and second of the key
  way_t [1:0][7:0] ways_q;
  logic [15:0] asked_q;                    // ways of equal tag that are still to be asked, in probe order
  logic same_q;                            // both buckets are one
  logic [1:0] lines_q;                     // buckets that have come
  logic two;
  assign two = op_q inside {3'd0, 3'd4} && !same_q;

  // ---- what is known of the ways
  logic [15:0] equal_tag;
  logic [1:0][7:0] open, over;
  logic [1:0][3:0] opens;
  logic chosen, found;
  logic [2:0] way;
  logic [3:0] first_asked;
  logic [2:0] named;
  logic live;

  always_comb begin
    for (int unsigned b = 0; b < 2; b++) begin
      opens[b] = '0;
      for (int unsigned w = 0; w < 8; w++) begin
        equal_tag[b*8+w] = ways_q[b][w].tag == tag_q && !(b == 1 && same_q);
        over[b][w] = ways_q[b][w].tag != '0 && now_q > ways_q[b][w].expiry;
        open[b][w] = ways_q[b][w].tag == '0 || over[b][w];
        opens[b] = opens[b] + 4'(open[b][w]);
      end
    end
    // The bucket with more room, the first on a tie; its lowest way.
    chosen = !same_q && opens[1] > opens[0];
    way = '0;
    for (int unsigned w = 8; w > 0; w--) if (open[chosen][w-1]) way = 3'(w - 1);
    found = open[chosen] != '0;
    first_asked = '0;
    for (int unsigned n = 16; n > 0; n--) if (asked_q[n-1]) first_asked = 4'(n - 1);
    named = slot_q[2:0];
    live = ways_q[0][named].tag != '0 && ways_q[0][named].generation_of == generation_q &&
           !over[0][named];
  end

  // ---- memory port
  always_comb begin
    request_valid_o = 1'b0;
    request_write_o = 1'b0;
    request_address_o = ADDRESS'(bucket_q[0]);
    request_data_o = ways_q[0];
    unique case (state_q)
      READ_FIRST: request_valid_o = 1'b1;
      READ_SECOND: begin
        request_valid_o = 1'b1;
        request_address_o = ADDRESS'(bucket_q[1]);
      end
      READ_KEY: begin
        request_valid_o = 1'b1;
        request_address_o = {1'b1, bucket_q[first_asked[3]], first_asked[2:0]};
      end
      WRITE_KEY: begin
        request_valid_o = 1'b1;
        request_write_o = 1'b1;
        request_address_o = {1'b1, slot_o[SLOT-1:0]};
        request_data_o = LINE'(key_q);
      end
      WRITE_FIRST: begin
        request_valid_o = 1'b1;
        request_write_o = 1'b1;
      end
      WRITE_SECOND: begin
        request_valid_o = 1'b1;
        request_write_o = 1'b1;
        request_address_o = ADDRESS'(bucket_q[1]);
        request_data_o = ways_q[1];
      end
      default: ;
    endcase
  end

  assign ready_o = state_q == IDLE;
  assign valid_o = state_q == DONE;

  // ---- one operation
  logic [31:0] asked_slot;
  assign asked_slot = 32'({bucket_q[first_asked[3]], first_asked[2:0]});

  always_ff @(posedge clk_i) begin
    unique case (state_q)
      IDLE: begin
        op_q <= op_i;
        key_q <= key_i;
        now_q <= now_i;
        expiry_q <= expiry_i;
        slot_q <= slot_i;
        generation_q <= generation_i;
        tag_q <= hash_i[63:48] | 16'd1;
        bucket_q[0] <= op_i inside {3'd0, 3'd4} ? hash_i[6+:BUCKETS_LOG2] : slot_i[3+:BUCKETS_LOG2];
        bucket_q[1] <= hash_i[31+:BUCKETS_LOG2];
        same_q <= hash_i[6+:BUCKETS_LOG2] == hash_i[31+:BUCKETS_LOG2];
        live_o <= 1'b0;
        created_o <= 1'b0;
        slot_o <= slot_i;
        generation_o <= '0;
        ended_o <= '0;
        swept_o <= '0;
        lines_q <= '0;
        ways_q <= '0;
        if (valid_i) state_q <= READ_FIRST;
      end
      READ_FIRST: if (request_ready_i) state_q <= two ? READ_SECOND : WAIT_LINES;
      READ_SECOND: if (request_ready_i) state_q <= WAIT_LINES;
      WAIT_LINES: begin
        asked_q <= '1;
        if (lines_q == (two ? 2'd2 : 2'd1)) state_q <= NEXT_KEY;
      end
      NEXT_KEY: begin
        unique case (op_q)
          3'd0, 3'd4: begin
            asked_q <= asked_q & equal_tag;
            state_q <= (asked_q & equal_tag) != '0 ? READ_KEY : PLACE;
          end
          3'd3: begin
            swept_o <= over[0];
            for (int unsigned w = 0; w < 8; w++) used_o[w] <= ways_q[0][w].tag != '0;
            for (int unsigned w = 0; w < 8; w++) if (over[0][w]) ways_q[0][w].tag <= '0;
            state_q <= over[0] != '0 ? WRITE_FIRST : DONE;
          end
          default: begin
            live_o <= live;
            generation_o <= ways_q[0][named].generation_of;
            if (op_q == 3'd2 && live) begin
              ways_q[0][named].tag <= '0;
              state_q <= WRITE_FIRST;
            end else begin
              state_q <= DONE;
            end
          end
        endcase
      end
      READ_KEY: if (request_ready_i) state_q <= WAIT_KEY;
      WAIT_KEY:
      if (response_valid_i) begin
        asked_q[first_asked] <= 1'b0;
        if (response_data_i[$bits(flow_key_t)-1:0] != key_q) begin
          state_q <= NEXT_KEY;
        end else if (op_q == 3'd4) begin
          // Found as it is: nothing changes.
          live_o <= !over[first_asked[3]][first_asked[2:0]];
          slot_o <= asked_slot;
          generation_o <= ways_q[first_asked[3]][first_asked[2:0]].generation_of;
          state_q <= DONE;
        end else if (over[first_asked[3]][first_asked[2:0]]) begin
          // Its time is up: another begins.
          ended_o[0] <= 1'b1;
          ended_slot_o[0] <= asked_slot;
          ways_q[first_asked[3]][first_asked[2:0]].tag <= '0;
          state_q <= PLACE;
        end else begin
          live_o <= 1'b1;
          slot_o <= asked_slot;
          generation_o <= ways_q[first_asked[3]][first_asked[2:0]].generation_of;
          ways_q[first_asked[3]][first_asked[2:0]].expiry <= expiry_q;
          state_q <= first_asked[3] ? WRITE_SECOND : WRITE_FIRST;
        end
      end
      PLACE: begin
        if (found && op_q == 3'd0) begin
          live_o <= 1'b1;
          created_o <= 1'b1;
          slot_o <= 32'({bucket_q[chosen], way});
          generation_o <= ways_q[chosen][way].generation_of + 32'd1;
          if (ways_q[chosen][way].tag != '0) begin
            ended_o[1] <= 1'b1;
            ended_slot_o[1] <= 32'({bucket_q[chosen], way});
          end
          ways_q[chosen][way] <= '{
              generation_of: ways_q[chosen][way].generation_of + 32'd1,
              expiry: expiry_q,
              tag: tag_q
          };
          state_q <= WRITE_KEY;
        end else begin
          state_q <= DONE;
        end
      end
      WRITE_KEY: if (request_ready_i) state_q <= WRITE_FIRST;
      // Both buckets may have changed: an entry ended in one, and another began in the other.
      WRITE_FIRST: if (request_ready_i) state_q <= created_o && !same_q ? WRITE_SECOND : DONE;
      WRITE_SECOND: if (request_ready_i) state_q <= DONE;
      default: state_q <= IDLE;
    endcase
    // The first line may come before the second was asked for.
    if (response_valid_i && state_q inside {READ_SECOND, WAIT_LINES}) begin
      ways_q[lines_q[0]] <= response_data_i;
      lines_q <= lines_q + 2'd1;
    end
    if (rst_i) state_q <= IDLE;
  end

  if (BUCKETS_LOG2 < 3 || BUCKETS_LOG2 > 17) begin : g_check
    $error("BUCKETS_LOG2 must be 3 to 17: the two bucket numbers come from separate hash bits");
  end

endmodule

`default_nettype wire
