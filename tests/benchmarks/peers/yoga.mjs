import { createServer } from "node:http";
import { createSchema, createYoga } from "graphql-yoga";
import { port, resolvers, typeDefs } from "./common.mjs";

const schema = createSchema({ typeDefs, resolvers });
const yoga = createYoga({ schema, logging: false, graphiql: false, landingPage: false });
createServer(yoga).listen(port, "127.0.0.1");
