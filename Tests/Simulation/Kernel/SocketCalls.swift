// The functions of CLinux.h that concern sockets.
import CLinux

@c(linux_socket)
func callSocket(_ ipv6: Int32) -> Int32 {
  sim.enter()
  let number = sim.kernel.install(Stream(isClient: false))
  sim.trace("socket -> \(number)")
  return number
}

@c(linux_datagram_socket)
func callDatagramSocket(_ ipv6: Int32) -> Int32 {
  sim.enter()
  let number = sim.kernel.install(Datagrams())
  sim.trace("datagram_socket -> \(number)")
  return number
}

@c(linux_bind)
func callBind(_ socket: Int32, _ address: UnsafePointer<linux_address>?, _ ipv6: Int32) -> Int32 {
  sim.enter()
  sim.kernel.find(socket, Stream.self).address = Address(address!.pointee)
  return 0
}

@c(linux_listen)
func callListen(_ socket: Int32, _ backlog: Int32) -> Int32 {
  sim.enter()
  return sim.kernel.listen(socket)
}

@c(linux_accept)
func callAccept(_ listener: Int32, _ peer: UnsafeMutablePointer<linux_address>?) -> Int32 {
  sim.enter()
  let result = sim.kernel.find(listener, Listener.self).accept(peer)
  sim.trace("accept \(listener) -> \(result)")
  return result
}

@c(linux_connect)
func callConnect(_ socket: Int32, _ address: UnsafePointer<linux_address>?) -> Int32 {
  sim.enter()
  let to = Address(address!.pointee)
  let result = sim.kernel.connect(socket, to)
  sim.trace("connect \(socket) \(to.text) -> \(result)")
  return result
}

@c(linux_local_address)
func callLocalAddress(_ socket: Int32, _ address: UnsafeMutablePointer<linux_address>?) -> Int32 {
  sim.enter()
  if let listener = sim.kernel[socket] as? Listener {
    address!.pointee = listener.socket.address.raw
  } else {
    address!.pointee = World.ownAddress.raw
  }
  return 0
}

@c(linux_shutdown_sending)
func callShutdownSending(_ socket: Int32) -> Int32 {
  sim.enter()
  if let talk = sim.kernel[socket] as? Talk {
    talk.ended()
    return 0
  }
  let result = sim.kernel.find(socket, Stream.self).endSending()
  sim.trace("shutdown \(socket) -> \(result)")
  return result
}

@c(linux_receive)
func callReceive(_ socket: Int32, _ bytes: UnsafeMutableRawPointer?, _ capacity: Int) -> Int64 {
  sim.enter()
  let result = sim.kernel[socket].receive(bytes!, capacity)
  sim.trace("receive \(socket) \(capacity) -> \(result)")
  return Int64(result)
}

@c(linux_peek)
func callPeek(_ socket: Int32, _ bytes: UnsafeMutableRawPointer?, _ capacity: Int) -> Int64 {
  sim.enter()
  let stream = sim.kernel.find(socket, Stream.self)
  let result = stream.receive(bytes!, capacity, peeks: true)
  sim.trace("peek \(socket) -> \(result)")
  return Int64(result)
}

@c(linux_send)
func callSend(
  _ socket: Int32, _ bytes: UnsafeRawPointer?, _ count: Int, _ more: Int32
) -> Int64 {
  sim.enter()
  let result = sim.kernel[socket].send(bytes!, count, isHeldBack: more != 0)
  sim.trace("send \(socket) \(count)\(more != 0 ? " more" : "") -> \(result)")
  return Int64(result)
}

@c(linux_set_option)
func callSetOption(_ socket: Int32, _ option: Int32, _ value: Int32) -> Int32 {
  sim.enter()
  if let stream = sim.kernel[socket] as? Stream {
    stream.options.set(linux_option(rawValue: UInt32(option)), value)
  }
  return 0
}

@c(linux_reset_on_close)
func callResetOnClose(_ socket: Int32) -> Int32 {
  if socket < 0 { return Code.badDescriptor }
  sim.enter()
  sim.kernel.find(socket, Stream.self).resetsOnClose = true
  return 0
}

@c(linux_take_error)
func callTakeError(_ socket: Int32) -> Int32 {
  sim.enter()
  let code = -sim.kernel.find(socket, Stream.self).takeError()
  sim.trace("take_error \(socket) -> \(code)")
  return code
}

@c(linux_unacknowledged)
func callUnacknowledged(_ socket: Int32) -> Int32 {
  sim.enter()
  let stream = sim.kernel.find(socket, Stream.self)
  let result = Int32(stream.state == .established ? stream.unacknowledged : 0)
  if result > 0 { sim.reach(.awaitedDelivery) }
  sim.trace("unacknowledged \(socket) -> \(result)")
  return result
}

@c(linux_send_state)
func callSendState(_ socket: Int32, _ state: UnsafeMutablePointer<linux_send_state>?) -> Int32 {
  sim.enter()
  let stream = sim.kernel.find(socket, Stream.self)
  guard stream.state == .established else { return Code.invalid }
  let inFlight = stream.sent - stream.acknowledged
  let silent = (sim.now - stream.lastHeard) / 1_000_000
  let window = stream.windowClosedAt != .never ? 0 : 65_535
  state!.pointee = linux_send_state(
    segments_in_flight: UInt32((inFlight + 1_459) / 1_460),
    unsent_bytes: UInt32(stream.written - stream.sent),
    probes_unanswered: UInt32(stream.probesUnanswered),
    milliseconds_since_acknowledgement: UInt32(silent),
    window_bytes: UInt32(window), window_known: sim.plan.knowsWindow ? 1 : 0)
  sim.trace("send_state \(socket) -> in flight \(inFlight), window \(window)")
  return 0
}

@c(linux_local_socket)
func callLocalSocket() -> Int32 {
  sim.enter()
  return sim.kernel.install(LocalListener())
}

@c(linux_local_bind)
func callLocalBind(_ socket: Int32, _ name: UnsafeRawPointer?, _ length: Int) -> Int32 {
  sim.enter()
  if sim.now < sim.plan.controlTakenUntil {
    sim.reach(.controlTaken)
    return Code.addressInUse
  }
  return 0
}

@c(linux_local_connect)
func callLocalConnect(_ socket: Int32, _ name: UnsafeRawPointer?, _ length: Int) -> Int32 {
  Code.refused
}

@c(linux_local_accept)
func callLocalAccept(_ listener: Int32) -> Int32 {
  sim.enter()
  return sim.kernel.find(listener, LocalListener.self).accept()
}

@c(linux_peer_user)
func callPeerUser(_ socket: Int32) -> Int32 {
  sim.enter()
  return sim.kernel.find(socket, Talk.self).user
}

@c(linux_user)
func callUser() -> Int32 { 1000 }

extension Kernel {
  func listen(_ number: Int32) -> Int32 {
    if let local = self[number] as? LocalListener {
      localListener = local
      return 0
    }
    let stream = find(number, Stream.self)
    let listener = Listener(stream, isPage: stream.address.port == plan.metricsPort)
    replace(number, listener)
    listeners.append(listener)
    return 0
  }

  func connect(_ number: Int32, _ address: Address) -> Int32 {
    switch self[number] {
    case let datagrams as Datagrams: return datagrams.connect(to: address)
    case let talk as Talk: return talk.connect()
    case let stream as Stream:
      guard stream.state == .fresh, address.port == Plan.namePort else {
        return stream.connect(to: address)
      }
      return sim.world.names.connect(number, address)
    case _: return Code.invalid
    }
  }
}
