// The schema and the resolvers of the peers: one joined, prepared statement for each query.
import { randomBytes } from "node:crypto";
import { GraphQLScalarType } from "graphql";
import pg from "pg";

export const port = Number(process.argv[2]);
export const typeDefs = `
  scalar DateTime
  type Secret { hint: String! createdAt: DateTime! expiresAt: DateTime }
  type Client {
    clientId: String! name: String! enabled: Boolean! createdAt: DateTime! generation: Int!
    currentSecret: Secret oldSecret: Secret
  }
  type Query { client(clientId: String!): Client clients(first: Int! = 50): [Client!]! }
  type ResetSecret { newSecret: String! oldSecretExpiresAt: DateTime! }
  type Mutation { resetSecret(clientId: String!, hoursToLive: Int! = 24): ResetSecret }
`;

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
const columns = `
  select c.client_id, c.name, c.enabled, c.created_at, c.generation,
    n.hint, n.created_at as secret_at, o.hint as old_hint, o.created_at as old_at, o.expires_at
  from clients c left join secrets n on n.owner_id = c.id and n.is_current
  left join secrets o on o.owner_id = c.id and not o.is_current
`;

const client = (row) => ({
  clientId: row.client_id,
  name: row.name,
  enabled: row.enabled,
  createdAt: row.created_at,
  generation: row.generation,
  currentSecret: row.hint === null ? null : { hint: row.hint, createdAt: row.secret_at, expiresAt: null },
  oldSecret: row.old_hint === null ? null : { hint: row.old_hint, createdAt: row.old_at, expiresAt: row.expires_at },
});

export const resolvers = {
  DateTime: new GraphQLScalarType({ name: "DateTime", serialize: (value) => value.toISOString() }),
  Query: {
    client: async (_, { clientId }) => {
      const { rows } = await pool.query({ name: "one", text: `${columns} where c.client_id = $1`, values: [clientId] });
      return rows[0] ? client(rows[0]) : null;
    },
    clients: async (_, { first }) => {
      const { rows } = await pool.query({ name: "list", text: `${columns} order by c.id limit $1`, values: [first] });
      return rows.map(client);
    },
  },
  Mutation: {
    resetSecret: async (_, { clientId, hoursToLive }) => {
      const secret = randomBytes(32).toString("base64url");
      const text = "select reset_secret($1, $2, $3) as until";
      const { rows } = await pool.query({ name: "reset", text, values: [clientId, secret, hoursToLive] });
      return rows[0].until && { newSecret: secret, oldSecretExpiresAt: rows[0].until };
    },
  },
};
