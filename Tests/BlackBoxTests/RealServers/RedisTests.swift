// Redis used through the forwarder: its own benchmark with deep pipelines, values of many MiB, and
// connections that only listen.
import Foundation
import Testing

@Suite(.serialized, .timeLimit(.minutes(6)))
struct RedisTests {
  @Test(arguments: Transfer.allCases)
  func theBenchmarkWithPipeliningLosesNoCommand(transfer: Transfer) throws {
    try withRedis { direct in
      try withForwarder(to: direct.port, transfer) { sidecar in
        let client = direct.via(sidecar)
        let options = ["-q", "-n", "64000", "-c", "50", "-P", "16", "-t", "set,get,incr,lpush"]
        try client.tool("redis-benchmark", options).run()
        let large = ["-q", "-n", "500", "-c", "10", "-d", "100000", "-t", "set,get"]
        try client.tool("redis-benchmark", large).run()
        let statistics = try direct.call("info", "commandstats")
        for (command, calls) in [
          ("set", 64_500), ("get", 64_500), ("incr", 64_000), ("lpush", 64_000),
        ] {
          #expect(statistics.contains("cmdstat_\(command):calls=\(calls),"), "\(statistics)")
        }
        #expect(try direct.call("get", "counter:__rand_int__") == "64000")
        #expect(try direct.call("llen", "mylist") == "64000")
      }
    }
  }

  @Test(arguments: Transfer.allCases)
  func valuesOfEightMebibytesAreTheSameThere(transfer: Transfer) throws {
    try withRedis { direct in
      try withForwarder(to: direct.port, transfer) { sidecar in
        let client = direct.via(sidecar)
        let directory = try ScratchDirectory()
        let size = 8 << 20
        for number in 1...3 {
          let (sent, received) = (directory.path("sent"), directory.path("received"))
          var random = Program(["head", "-c", "\(size)", "/dev/urandom"])
          random.output = sent
          try random.run()
          var set = client.tool("redis-cli", ["-x", "set", "value:\(number)"])
          set.input = sent
          #expect(try set.run() == "OK")
          var get = client.tool("redis-cli", ["--raw", "get", "value:\(number)"])
          get.output = received
          try get.run()
          // redis-cli ends what it prints with a newline of its own.
          #expect(sizeOfFile(received) == size + 1)
          try Program(["cmp", "-n", "\(size)", sent, received]).run()
        }
      }
    }
  }

  @Test func aHundredThousandCommandsInOneGoAreAllAnswered() throws {
    try withRedis { direct in
      try withForwarder(to: direct.port) { sidecar in
        let directory = try ScratchDirectory()
        let commands = directory.path("commands")
        var generate = Program(["sh", "-c", #"seq 100000 | sed "s/.*/SET key:& value:&/""#])
        generate.output = commands
        try generate.run()
        var insert = direct.via(sidecar).tool("redis-cli", ["--pipe"])
        insert.input = commands
        #expect(try insert.run().contains("errors: 0, replies: 100000"))
        #expect(try direct.call("dbsize") == "100000")
        #expect(try direct.call("get", "key:77777") == "value:77777")
      }
    }
  }

  @Test func subscriberAndMonitorMissNothing() throws {
    try withRedis { direct in
      try withForwarder(to: direct.port) { sidecar in
        let client = direct.via(sidecar)
        let subscriber = try client.tool("redis-cli", ["--csv", "subscribe", "news"]).start()
        let monitor = try client.tool("redis-cli", ["monitor"]).start()
        defer {
          subscriber.kill()
          monitor.kill()
        }
        try eventually("both listen") {
          subscriber.output.lines.contains(#""subscribe","news",1"#)
            && monitor.output.lines.contains("OK")
        }
        let directory = try ScratchDirectory()
        var publish = client.tool("redis-cli", [])
        publish.input = directory.path("commands")
        let messages = (1...2000).map { "PUBLISH news message-\($0)\n" }.joined()
        try Data(messages.utf8).write(to: URL(fileURLWithPath: publish.input))
        let answers = try publish.run().split(separator: "\n")
        #expect(answers.count == 2000 && answers.allSatisfy { $0 == "1" })
        let message = #""message","news","#
        try eventually("all messages came") {
          subscriber.output.lines.count { $0.hasPrefix(message) } == 2000
        }
        let received = subscriber.output.lines.filter { $0.hasPrefix(message) }
        let isInOrder = received == (1...2000).map { message + "\"message-\($0)\"" }
        #expect(isInOrder)
        try eventually("all commands were seen") {
          monitor.output.lines.count { $0.contains(#""PUBLISH" "news""#) } == 2000
        }
      }
    }
  }
}
