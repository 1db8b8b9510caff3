// The functions of CLinux.h that do not concern sockets.
import CLinux

@c(linux_pipe)
func callPipe(_ output: UnsafeMutablePointer<Int32>?, _ input: UnsafeMutablePointer<Int32>?)
  -> Int32
{
  sim.enter()
  let made = sim.kernel.makePipe()
  sim.trace("pipe -> \(made.code) \(made.output) \(made.input)")
  guard made.code == 0 else { return made.code }
  output!.pointee = made.output
  input!.pointee = made.input
  return 0
}

@c(linux_pipe_capacity)
func callPipeCapacity(_ pipe: Int32) -> Int32 {
  sim.enter()
  return Int32(sim.kernel.find(pipe, PipeEnd.self).pipe.pages * Pipe.page)
}

@c(linux_set_pipe_capacity)
func callSetPipeCapacity(_ pipe: Int32, _ bytes: Int32) -> Int32 {
  sim.enter()
  let result = sim.kernel.setPipeCapacity(sim.kernel.find(pipe, PipeEnd.self).pipe, Int(bytes))
  sim.trace("set_pipe_capacity \(pipe) \(bytes) -> \(result)")
  return result
}

@c(linux_splice)
func callSplice(_ source: Int32, _ target: Int32, _ count: Int) -> Int64 {
  sim.enter()
  let result = sim.kernel.splice(source, target, count)
  if result > 0 { sim.reach(.spliced) }
  sim.trace("splice \(source) \(target) \(count) -> \(result)")
  return Int64(result)
}

@c(linux_poller)
func callPoller() -> Int32 {
  sim.enter()
  return sim.kernel.install(Poller())
}

/// epoll_ctl(2), to add or to change.
private func watch(
  _ name: StaticString, _ poller: Int32, _ descriptor: Int32, _ interest: UInt32, _ token: UInt64,
  _ change: (Poller, Object, UInt32, UInt64) -> Int32
) -> Int32 {
  sim.enter()
  let poller = sim.kernel.find(poller, Poller.self)
  let object = sim.kernel[descriptor]
  let result = change(poller, object, interest, token)
  if result == 0 { sim.world.watched(object, Place(poller, token)) }
  sim.trace("\(name) \(descriptor) \(String(interest, radix: 16)) -> \(result)")
  return result
}

@c(linux_poller_add)
func callPollerAdd(
  _ poller: Int32, _ descriptor: Int32, _ interest: UInt32, _ token: UInt64
) -> Int32 {
  watch("watch", poller, descriptor, interest, token, sim.kernel.watch)
}

@c(linux_poller_change)
func callPollerChange(
  _ poller: Int32, _ descriptor: Int32, _ interest: UInt32, _ token: UInt64
) -> Int32 {
  watch("rewatch", poller, descriptor, interest, token, sim.kernel.rewatch)
}

@c(linux_poller_remove)
func callPollerRemove(_ poller: Int32, _ descriptor: Int32) -> Int32 {
  sim.enter()
  sim.trace("unwatch \(descriptor)")
  return sim.kernel.unwatch(sim.kernel.find(poller, Poller.self), sim.kernel[descriptor])
}

@c(linux_poller_wait)
func callPollerWait(
  _ poller: Int32, _ events: UnsafeMutablePointer<linux_event>?, _ milliseconds: Int32
) -> Int32 {
  sim.enter()
  sim.trace("wait \(milliseconds)")
  return sim.kernel.find(poller, Poller.self).wait(events!, milliseconds)
}

@c(linux_wait_writable)
func callWaitWritable(_ descriptor: Int32) -> Int32 { 1 }

@c(linux_close)
func callClose(_ descriptor: Int32) -> Int32 {
  sim.enter()
  sim.trace("close \(descriptor)")
  sim.kernel.close(descriptor)
  return 0
}

@c(linux_close_both)
func callCloseBoth(_ one: Int32, _ other: Int32) {
  sim.enter()
  sim.trace("close \(one) and \(other)")
  sim.kernel.close(one)
  sim.kernel.close(other)
}

@c(linux_read)
func callRead(_ descriptor: Int32, _ bytes: UnsafeMutableRawPointer?, _ capacity: Int) -> Int64 {
  sim.enter()
  if let file = sim.kernel[descriptor] as? OpenFile { return Int64(file.read(bytes!, capacity)) }
  sim.trace("take \(descriptor)")
  return Int64(sim.kernel.find(descriptor, EventCounter.self).take())
}

@c(linux_write)
func callWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int64 {
  sim.enter()
  if let output = sim.kernel[descriptor] as? Output { return Int64(output.write(bytes!, count)) }
  sim.trace("signal \(descriptor)")
  sim.kernel.find(descriptor, EventCounter.self).signal()
  return Int64(count)
}

@c(linux_open_to_read)
func callOpenToRead(_ path: UnsafePointer<CChar>?) -> Int32 {
  sim.enter()
  guard let content = sim.kernel.files.contents[String(cString: path!)] else {
    return Code.noEntry
  }
  return sim.kernel.install(OpenFile(content.bytes))
}

@c(linux_wait_readable)
func callWaitReadable(_ descriptor: Int32, _ milliseconds: Int32) -> Int32 {
  sim.enter()
  let counter = sim.kernel.find(descriptor, EventCounter.self)
  return counter.awaitSignal(until: sim.now + .milliseconds(Int(milliseconds))) ? 1 : 0
}

@c(linux_count_descriptors)
func callCountDescriptors() -> Int32 { Int32(sim.kernel.open) }

@c(linux_terminal_size)
func callTerminalSize(
  _ descriptor: Int32, _ columns: UnsafeMutablePointer<Int32>?, _ rows: UnsafeMutablePointer<Int32>?
) -> Int32 { -25 }

@c(linux_file_stamp)
func callFileStamp(
  _ path: UnsafePointer<CChar>?, _ stamp: UnsafeMutablePointer<linux_file_stamp>?
) -> Int32 {
  sim.enter()
  guard let content = sim.kernel.files.contents[String(cString: path!)] else {
    return Code.noEntry
  }
  stamp!.pointee = linux_file_stamp(
    modified_nanoseconds: content.version, size: Int64(content.bytes.count), inode: 1)
  return 0
}

@c(linux_event_counter)
func callEventCounter(_ blocking: Int32) -> Int32 {
  sim.enter()
  return sim.kernel.install(EventCounter(isBlocking: blocking != 0))
}

@c(linux_raise_descriptor_limit)
func callRaiseDescriptorLimit() -> Int64 { Int64(sim.plan.descriptors) }

@c(linux_signals)
func callSignals() -> Int32 {
  sim.enter()
  return sim.kernel.install(sim.kernel.signals)
}

@c(linux_next_signal)
func callNextSignal(_ signals: Int32) -> Int32 {
  sim.enter()
  return sim.kernel.find(signals, SignalQueue.self).next()
}

@c(linux_process_id)
func callProcessID() -> Int32 { 7 }

@c(linux_reap_one)
func callReapOne() -> Int32 { -10 }

@c(linux_exit)
func callExit(_ code: Int32) -> Never { sim.exit(code) }

@c(linux_thread)
func callThread(
  _ body: (@convention(c) (UnsafeMutableRawPointer?) -> Void)?,
  _ argument: UnsafeMutableRawPointer?, _ name: UnsafePointer<CChar>?
) -> Int32 {
  sim.enter()
  let name = String(cString: name!) + String(sim.fibers.count)
  sim.start(name) { body!(argument) }
  return 0
}

@c(linux_usable_cpus)
func callUsableCPUs() -> Int32 { 2 }

@c(linux_monotonic_nanoseconds)
func callMonotonicNanoseconds() -> Int64 { sim.now }

/// 2026, and as much later as the other clock says.
@c(linux_wall_nanoseconds)
func callWallNanoseconds() -> Int64 { 1_767_225_600_000_000_000 + sim.now }

@c(linux_random)
func callRandom() -> UInt16 { UInt16(truncatingIfNeeded: sim.chance.next()) }

@c(linux_environment)
func callEnvironment(_ name: UnsafePointer<CChar>?) -> UnsafePointer<CChar>? {
  UnsafePointer(sim.kernel.environment[String(cString: name!)])
}

@c(linux_allocate)
func callAllocate(_ bytes: Int) -> UnsafeMutableRawPointer? {
  if sim.kernel.isHostile, sim.plan.failsToAllocate > 0,
    sim.chance.one(in: sim.plan.failsToAllocate)
  {
    sim.reach(.noMemory)
    if sim.kernel.sentTooEarly == sim.calls { sim.reach(.noMemoryToDial) }
    sim.world.allocationFailed = true
    return nil
  }
  sim.reach(.stashed)
  let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 16)
  sim.kernel.allocations.insert(memory)
  return memory
}

@c(linux_free)
func callFree(_ memory: UnsafeMutableRawPointer?) {
  guard let memory else { return }
  if sim.kernel.allocations.remove(memory) == nil { sim.fail("freed what is not allocated") }
  memory.deallocate()
}

@c(linux_refuse_new_privileges)
func callRefuseNewPrivileges() -> Int32 { 0 }

@c(linux_drop_capabilities)
func callDropCapabilities() -> Int32 { 0 }

@c(linux_restrict_reach)
func callRestrictReach(_ ports: UnsafePointer<UInt16>?, _ count: Int) -> Int32 { Code.unsupported }

@c(linux_filter_system_calls)
func callFilterSystemCalls(_ program: UnsafePointer<UInt64>?, _ count: Int) -> Int32 { 0 }
