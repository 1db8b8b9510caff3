// At a limit the daemon makes clients wait; it neither drops them nor spins, and recovers by
// itself.
import Foundation
import Testing

@Suite(.serialized)
struct DescriptorLimitTests {
  /// No descriptor is left, and then there are enough.
  @Test func clientsWaitWhileDescriptorsAreExhausted() throws {
    let target = try Target()
    try withSidecar(to: target) { sidecar in
      let old = try sidecar.connect(to: target)
      try sidecar.process.allowDescriptors(0)
      let clients = try (0..<20).map { number in
        let client = try sidecar.connect()
        try client.send("client \(number + 10);")
        return client
      }
      try expectNoSpin(sidecar)
      try pingPong(old.client, old.upstream, times: 10)
      #expect(!target.isBeingCalled)
      try sidecar.process.allowManyDescriptors()
      let serving = target.serve(clients.count, with: echoOnce)
      for (number, client) in clients.enumerated() { try client.expect("client \(number + 10);") }
      try serving.result()
    }
  }

  /// Descriptors come back one connection at a time, and an accepted client needs two of them. The
  /// clients are served one after the other, all of them.
  @Test(arguments: [0, 1], ["1", "2"])
  func aConnectionThatEndsMakesRoomForTheNext(spare: Int, workers: String) throws {
    let target = try Target()
    let settings = ["SIDECAR_TRANSFER": "copy", "WORKERS": workers]
    try withSidecar(to: target, settings) { sidecar in
      let old = try sidecar.connect(to: target)
      try sidecar.process.allowDescriptors(spare)
      let clients = try (0..<8).map { number in
        let client = try sidecar.connect()
        try client.send("client \(number + 10);")
        return client
      }
      try expectNoSpin(sidecar)
      try pingPong(old.client, old.upstream, times: 10)
      let serving = target.serve(clients.count, with: echoOnce)
      old.client.close()
      try old.upstream.expect(.closed)
      old.upstream.close()
      try atTheSameTime(
        clients.enumerated().map { number, client in
          {
            try client.expect("client \(number + 10);")
            try client.expect(.closed)
            client.close()
          }
        })
      try serving.result()
    }
  }

  /// The way out takes no descriptor.
  @Test func itEndsInOrderWithoutADescriptor() throws {
    let target = try Target()
    try withSidecar(to: target) { sidecar in
      try sidecar.process.forbidDescriptors()
      sidecar.process.send(SIGTERM)
      try sidecar.expectExit(0)
      #expect(sidecar.log.last?.message == "stopped")
    }
  }

  /// Promotion to splice wants a pipe; without one, copying goes on.
  @Test(arguments: [Transfer.splice, .auto])
  func bytesMoveWithoutADescriptorForAPipe(transfer: Transfer) throws {
    let target = try Target()
    let stream = TestBytes(seed: 50)
    try withSidecar(to: target, transfer: transfer) { sidecar in
      let (client, upstream) = try sidecar.connect(to: target)
      try sidecar.process.allowDescriptors(0)
      try atTheSameTime(
        { try client.sendAll(stream, count: 8 * mebibyte) },
        { try upstream.expectAll(stream, count: 8 * mebibyte) },
        { try upstream.sendAll(stream, count: 8 * mebibyte) },
        { try client.expectAll(stream, count: 8 * mebibyte) })
      try sidecar.process.allowManyDescriptors()
    }
  }

  private func echoOnce(_ upstream: Peer) throws {
    try upstream.send(upstream.receive(exactly: 10))
    upstream.close()
  }

  private func expectNoSpin(_ sidecar: Sidecar) throws {
    let before = try sidecar.process.processorTime()
    pause(.seconds(1))
    let used = try sidecar.process.processorTime() - before
    #expect(used < .milliseconds(150), "processor time used in a second of waiting")
  }
}

@Suite(.serialized)
struct ConnectionLimitTests {
  @Test(arguments: ["1", "4"])
  func theClientBeyondTheLimitIsServedWhenOneLeaves(workers: String) throws {
    let target = try Target()
    let settings = ["MAX_CONNECTIONS": "2", "WORKERS": workers]
    try withSidecar(to: target, settings) { sidecar in
      let first = try sidecar.connect(to: target)
      let second = try sidecar.connect(to: target)
      let third = try sidecar.connect()
      try third.send("third")
      let fourth = try sidecar.connect()
      try fourth.send("fourth")
      try pingPong(first.client, first.upstream, times: 200)
      try pingPong(second.client, second.upstream, times: 200)
      #expect(!target.isBeingCalled, "more than MAX_CONNECTIONS")

      first.client.close()
      first.upstream.close()
      let thirdUpstream = try target.accept()
      try thirdUpstream.expect("third")
      try pingPong(second.client, second.upstream, times: 200)
      #expect(!target.isBeingCalled, "more than MAX_CONNECTIONS")
      third.close()
      thirdUpstream.close()
      try target.accept().expect("fourth")
    }
  }

  /// The worker that waits for a place need not have the connection that frees it.
  @Test func whoeverMakesRoomTheOneThatWaitsIsServed() throws {
    let target = try Target()
    try withSidecar(to: target, ["MAX_CONNECTIONS": "2", "WORKERS": "2"]) { sidecar in
      var open = [try sidecar.connect(to: target), try sidecar.connect(to: target)]
      for round in 0..<20 {
        let waiting = try sidecar.connect()
        try waiting.send("next")
        pause(.milliseconds(20))
        let leaving = open.remove(at: round % 2)
        leaving.client.close()
        leaving.upstream.close()
        let upstream = try target.accept()
        try upstream.expect("next")
        open.append((client: waiting, upstream: upstream))
      }
    }
  }

  @Test func aClientThatWaitedAndLeftCostsTheTargetNothing() throws {
    let target = try Target()
    try withSidecar(to: target, ["MAX_CONNECTIONS": "1"]) { sidecar in
      let first = try sidecar.connect(to: target)
      for _ in 0..<10 { try sidecar.connect().close() }
      let last = try sidecar.connect()
      try last.send("last")
      first.client.close()
      first.upstream.close()
      try target.accept().expect("last")
      #expect(!target.isBeingCalled)
    }
  }
}

@Suite(.serialized)
struct CrowdTests {
  /// All connections are stuck in both directions before anybody reads: more bytes are under way
  /// than an unprivileged user may hold in pipes (fs.pipe-user-pages-soft).
  @Test(arguments: Transfer.allCases)
  func sixHundredBulkConnectionsOfAnUnprivilegedUser(transfer: Transfer) throws {
    try raiseDescriptorLimit()
    let target = try Target(prepare: keepBuffersSmall)
    let count = 768 * kibibyte
    try withSidecar(to: target, transfer: transfer, wrapper: unprivileged) { sidecar in
      var (clients, upstreams): ([Peer], [Peer]) = ([], [])
      for _ in 0..<600 {
        clients.append(try Peer(connectingTo: sidecar.port, prepare: keepBuffersSmall))
        upstreams.append(try target.accept())
      }
      let near = Crowd(clients, seed: 1000, partnerSeed: 2000, count: count)
      let far = Crowd(upstreams, seed: 2000, partnerSeed: 1000, count: count)
      try atTheSameTime({ try near.jam() }, { try far.jam() })
      try atTheSameTime({ try near.finish() }, { try far.finish() })
    }
  }

  @Test(arguments: ["1", "4"])
  func workersServeManyConnectionsAtOnce(workers: String) throws {
    let target = try Target()
    try withSidecar(to: target, ["WORKERS": workers]) { sidecar in
      let started = try sidecar.waitForLine("sidecar ")
      #expect(started["workers"] == workers)
      for _ in 0..<2 { try exchange(sidecar, target, connections: 40) }
      try eventually("all have ended") { sidecar.count(of: "connection ended") == 80 }
      let lines = sidecar.log.filter { $0.message == "connection ended" }
      #expect(Set(lines.compactMap { $0["connection"] }).count == 80, "numbers are unique")
    }
  }

  private func exchange(_ sidecar: Sidecar, _ target: Target, connections: Int) throws {
    var (clients, upstreams): ([Peer], [Peer]) = ([], [])
    for _ in 0..<connections {
      clients.append(try sidecar.connect())
      upstreams.append(try target.accept())
    }
    let near = Crowd(clients, seed: 3000, partnerSeed: 4000, count: mebibyte)
    let far = Crowd(upstreams, seed: 4000, partnerSeed: 3000, count: mebibyte)
    try atTheSameTime({ try near.finish() }, { try far.finish() })
  }

  /// Small segments and a small window make the kernel keep its buffers for the other end small as
  /// well, so that a stopped reader is felt after some ten KiB instead of megabytes.
  private func keepBuffersSmall(_ socket: TCPSocket) throws {
    try socket.set(Int32(TCP_MAXSEG), Int32(536), level: Int32(IPPROTO_TCP))
    try socket.set(SO_RCVBUF, Int32(8 * kibibyte))
    try socket.set(SO_SNDBUF, Int32(16 * kibibyte))
  }
}

@Suite(.serialized)
struct IdleTimeoutTests {
  @Test func onlyAnIdleConnectionIsEnded() throws {
    let target = try Target()
    try withSidecar(to: target, ["IDLE_TIMEOUT": "1s"]) { sidecar in
      let idle = try sidecar.connect(to: target)
      let busy = try sidecar.connect(to: target)
      try pingPong(idle.client, idle.upstream)
      let end = ContinuousClock.now + .milliseconds(2500)
      while ContinuousClock.now < end {
        try busy.upstream.send("tick")  // one direction alone is life enough
        try busy.client.expect("tick")
        pause(.milliseconds(50))
      }
      let line = try sidecar.waitForLine("connection ended")
      #expect(line["connection"] == "1")
      #expect(line["reason"] == "idle_timeout")
      #expect(line["ended_by"] == "sidecar")
      #expect(line.number("duration_ms")! >= 1000)
      try idle.client.expect(.reset)
      try idle.upstream.expect(.reset)
      try pingPong(busy.client, busy.upstream)
      #expect(sidecar.count(of: "connection ended") == 1)
    }
  }

  @Test func durationsMayBeShort() throws {
    let target = try Target()
    try withSidecar(to: target, ["IDLE_TIMEOUT": "500ms"]) { sidecar in
      let (client, upstream) = try sidecar.connect(to: target)
      try client.expect(.reset)
      try upstream.expect(.reset)
      let line = try sidecar.waitForLine("connection ended")
      #expect(line["reason"] == "idle_timeout")
      #expect(line.number("duration_ms")! >= 500)
    }
  }
}
