// What the calls on a TCP socket do (tcp.c, af_inet.c).

extension Stream {
  func connect(to address: Address) -> Int32 {
    switch state {
    case .fresh:
      self.address = address
      return sim.world.connect(self)
    case .connecting: return Code.already
    case .established:
      guard !isConnectReported else { return Code.isConnected }
      isConnectReported = true
      return 0
    case .ended:
      let code = takeError()
      return code != 0 ? code : Code.aborted
    }
  }

  func takeError() -> Int32 {
    defer { error = 0 }
    return error
  }

  /// What a reader gets when no byte is there.
  private func nothing() -> Int {
    if hasEnd { return 0 }
    if error != 0 { return Int(takeError()) }
    return state == .ended ? 0 : Int(Code.wouldBlock)
  }

  /// How much one call reads: up to an urgent mark, or from it on.
  private func readable(_ limit: Int) -> Int {
    guard let urgentAt, urgentAt > readCount, urgentAt < arrived else {
      return min(limit, available)
    }
    sim.reach(.urgentMark)
    return min(limit, urgentAt - readCount)
  }

  /// Out of band bytes are no part of the stream unless they are kept in it (SO_OOBINLINE).
  private func skipUrgent() {
    guard urgentAt == readCount, !options.urgentInline, available > 0 else { return }
    segments.takeAll(1)
    readCount += 1
    sim.fail("the urgent byte of \(number) is lost")
  }

  func receive(_ bytes: UnsafeMutableRawPointer, _ limit: Int, peeks: Bool) -> Int {
    if !peeks { touch() }
    skipUrgent()
    let count = readable(limit)
    guard count > 0 else { return nothing() }
    Pattern.write(bytes, peer!.id, readCount, count)
    if peeks { return count }
    take(count)
    return count
  }

  private func take(_ count: Int) {
    segments.takeAll(count)
    readCount += count
    lastMoved = sim.now
    sim.progress()
    peer?.windowOpens()
  }

  /// splice(2) into a pipe: a slot for each segment, or part of one.
  func fill(_ pipe: Pipe, _ limit: Int) -> Int {
    touch()
    if urgentAt == readCount, available > 0 {
      sim.reach(.urgentMark)
      return sim.chance.one(in: 2) ? 0 : Int(Code.wouldBlock)
    }
    let most = readable(limit)
    guard most > 0 else { return nothing() }
    var moved = 0
    while moved < most, pipe.hasSlot {
      let count = segments.takeOne(most - moved)
      pipe.add(Pipe.Slot(source: peer!, start: readCount + moved, count: count))
      moved += count
    }
    guard moved > 0 else { return Int(Code.wouldBlock) }
    if moved < most { sim.reach(.pipeFullBySlots) }
    readCount += moved
    lastMoved = sim.now
    sim.progress()
    peer?.windowOpens()
    return moved
  }

  /// What keeps everything from being sent; nil when nothing does.
  private func refusal() -> Int? {
    switch state {
    case .fresh: return Int(Code.brokenPipe)
    case .connecting:
      sim.kernel.sentTooEarly = sim.calls
      return Int(Code.wouldBlock)
    case .ended: return Int(error != 0 ? takeError() : Code.brokenPipe)
    case .established:
      if error != 0 { return Int(takeError()) }
      return endWritten ? Int(Code.brokenPipe) : nil
    }
  }

  func write(_ bytes: UnsafeRawPointer, _ count: Int, isHeldBack: Bool) -> Int {
    touch()
    if let code = refusal() { return code }
    let taken = min(count, sendCapacity - used)
    if taken < count { noteFull(taken) }
    guard taken > 0 else { return Int(Code.wouldBlock) }
    judgeBytes(bytes, taken)
    // What fills the socket is sent (tcp_sendmsg_locked).
    return write(taken, isHeldBack: isHeldBack && taken == count)
  }

  func drain(_ pipe: Pipe, _ limit: Int) -> Int {
    touch()
    if let code = refusal() { return code }
    guard !pipe.isEmpty else { return Int(Code.wouldBlock) }
    let room = sendCapacity - used
    var most = min(limit, pipe.count, room)
    if most < min(limit, pipe.count) { noteFull(most) }
    guard most > 0 else { return Int(Code.wouldBlock) }
    if sim.plan.shortSplices > 0, sim.chance.one(in: sim.plan.shortSplices) {
      sim.reach(.shortSplice)
      most = sim.chance.number(1...most)
    }
    var moved = 0
    while moved < most {
      let slot = pipe.take(most - moved)
      judge(slot.source, slot.start, moved)
      moved += slot.count
    }
    return write(moved, isHeldBack: false)
  }

  private func noteFull(_ taken: Int) {
    wantsSpace = true
    sim.reach(taken > 0 ? .shortSend : .fullSocket)
  }

  private func write(_ count: Int, isHeldBack: Bool) -> Int {
    if isHeldBack { holdBack() } else { heldFrom = nil }
    written += count
    lastMoved = sim.now
    sim.progress()
    pump()
    return count
  }

  /// MSG_MORE: what is written from here on waits for more, and what makes the kernel give up
  /// waiting (TCP_CORK's 200 ms, tcp(7)) is a stall.
  private func holdBack() {
    guard heldFrom == nil else { return }
    let place = written
    heldFrom = place
    sim.afterRunning(.milliseconds(200)) { [self] in
      // While others are on their way, the next acknowledgement lets them go.
      guard heldFrom == place, acknowledged == place, state == .established else { return }
      sim.fail("stall: the last bytes of \(number) wait for an end that does not come")
    }
  }

  func endWrites() {
    endWritten = true
    if heldFrom != nil { sim.reach(.heldForTheEnd) }
    heldFrom = nil
  }

  func endSending() -> Int32 {
    guard state == .established else { return Code.notConnected }
    guard !endWritten else { return 0 }
    endWrites()
    sim.reach(hasEnd ? .bothEnded : .halfClosed)
    judgeEnd()
    pump()
    return 0
  }

  func sendReset() {
    state = .ended
    isReset = true
    peer?.toPeer { [peer] in peer?.deliverReset() }
  }
}
